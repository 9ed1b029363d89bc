"""Faults that show only after long: sessions, threads, mutated files and killed exports, over and over.

    python benchmarks/soak.py [--only NAME ...] [--count N] [--seconds S] [--seed 1] [--json soak.json]

sessions       ONNX Runtime sessions with `session_options()`, made, run and dropped: memory, threads and files are flat
threads        8 threads that make, run and drop LiteRT interpreters of one `delegate()`: bytes are those of XNNPACK
provider       mutated `.onnx` files: with the provider the bytes of ONNX Runtime, or a clean error (fuzz_provider.py)
delegate       mutated `.tflite` files, the same with the delegate and XNNPACK (fuzz_delegate.py)
killed-export  `export()` to .tflite and .onnx, ended by SIGKILL at random moments: the target is absent, as it was, or
               new and whole, byte for byte, and the next export leaves nothing beside it (killed_export.py)

`--count` is for sessions, provider and killed-export, `--seconds` for threads and delegate; by default as much as
docs/reliability.md states. The tests do the same for seconds. Needs Linux and a checkout with its tests.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "edge")]

from tests.edge import lifetimes  # noqa: E402
from tests.edge.native import families  # noqa: E402
from tests.killed_export import KilledExport  # noqa: E402

CHUNKS = 10  # of a fuzzer, so that there is progress to show


def sessions(options, tick):
    count = options.count or 5000
    before, after, most = lifetimes.sessions(count, lambda: tick(1 / count))
    growth, more = after[0] - before[0], after[1] - before[1]
    found = f"{growth:+d} KiB, {more:+d} threads, {after[2] - before[2]:+d} files; {most} threads at most"
    return {"cases": count, "wrong": int(growth > 4096 + count / 10 or after[1:] != before[1:]), "found": found}


def threads(options, tick):
    seconds = options.seconds or 120
    made, wrong = lifetimes.crowd(seconds, lambda: tick(0.1 / seconds))
    found = f"{lifetimes.CROWD} threads, {seconds:.0f} s" + "".join(f"; {each}" for each in wrong[:3])
    return {"cases": made, "wrong": len(wrong), "found": found}


def fuzzed(script, tick, *arguments):
    """What a fuzzer counted, and its findings; `tick` is called with seconds that have passed."""
    command = [sys.executable, str(ROOT / "tests" / "edge" / script), *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        while process.poll() is None:
            time.sleep(0.5)
            tick(0.5)
        said.seek(0)
        lines = said.read().splitlines()
    if process.returncode not in (0, 1) or not lines or " cases, " not in lines[-1]:
        raise SystemExit("\n".join([f"{script} failed:", *lines[-20:]]))
    findings = [line for line in lines if line.startswith("--seed")]
    return [int(part.split()[0]) for part in lines[-1].split(", ")], findings


def provider(options, tick):
    count, totals, findings = options.count or 5000, [0] * 4, []
    each = -(-count // CHUNKS)
    for first in range(0, count, each):
        words = ["--seed", options.seed, "--first", first, "--runs", min(each, count - first), "--seconds", 10**6]
        figures, said = fuzzed("fuzz_provider.py", lambda seconds: None, *words)
        totals, findings = [a + b for a, b in zip(totals, figures, strict=True)], findings + said
        tick(figures[0] / count)
    found = "; ".join([f"{totals[1]:,} accepted by ONNX Runtime, {totals[2]:,} with claimed layers", *findings])
    return {"cases": totals[0], "wrong": totals[3], "found": found}


def delegate(options, tick):
    seconds = options.seconds or 300
    words = ["--seed", options.seed, "--seconds", seconds]
    figures, findings = fuzzed("fuzz_delegate.py", lambda passed: tick(passed / seconds), *words)
    found = "; ".join([f"{figures[1]:,} accepted by LiteRT", *findings])
    return {"cases": figures[0], "wrong": figures[2], "found": found}


def killed_export(options, tick):
    count, chance = options.count or 200, random.Random(options.seed)
    states, left, broken = dict.fromkeys(("absent", "old", "new"), 0), 0, []
    with tempfile.TemporaryDirectory() as folder:
        kinds = [KilledExport(Path(folder, suffix), f".{suffix}") for suffix in ("tflite", "onnx")]
        for turn in range(count):
            killed = kinds[turn % 2]
            # At any moment of the whole, and of the milliseconds in which the file is written.
            after, most = (("start", killed.seconds), ("verified", 0.005))[turn // 2 % 2]
            try:
                states[killed.kill(chance.uniform(0, most), after, over=bool(turn // 4 % 2))] += 1
            except AssertionError as error:
                broken.append(str(error))
            left += killed.left
            tick(1 / count)
        for killed in kinds:
            killed.export()  # asserts that nothing is left beside the file
    found = ", ".join(f"{number} {state}" for state, number in states.items())
    found += f"; {left} left a temporary file, which the next export removed" + "".join(f"; {e}" for e in broken[:3])
    return {"cases": count, "wrong": len(broken), "found": found}


CASES = {
    "sessions": sessions, "threads": threads, "provider": provider, "delegate": delegate,
    "killed-export": killed_export,
}  # fmt: skip


def main(options):
    console, results = Console(width=110), []
    table = Table(title="soak")
    for column in ("case", "cases", "wrong", "minutes", "found"):
        table.add_column(column, justify="left" if column in ("case", "found") else "right")
    with Progress(console=console, transient=True) as progress:
        for name in options.only:
            task, start = progress.add_task(name, total=1), time.monotonic()
            row = {"case": name, **CASES[name](options, lambda part, task=task: progress.advance(task, part))}
            row["seconds"] = time.monotonic() - start
            results.append(row)
            minutes = f"{row['seconds'] / 60:.1f}"
            table.add_row(name, f"{row['cases']:,}", str(row["wrong"]), minutes, row["found"])
    console.print(table)
    machine = f"{platform.machine()}, {os.cpu_count()} processors, kernels {', '.join(families())}"
    print(f"{machine}; ONNX Runtime {onnxruntime.__version__}")
    Path(options.json).write_text(json.dumps({"machine": machine, "results": results}, indent=2))
    print(options.json)
    return int(any(row["wrong"] for row in results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=[*CASES], metavar="NAME")
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", default="soak.json")
    raise SystemExit(main(parser.parse_args()))
