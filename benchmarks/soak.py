"""Faults that show only after long: sessions, threads, mutated files and killed exports, over and over.

    python benchmarks/soak.py [--only NAME ...] [--count N] [--seconds S] [--seed 1] [--json soak.json]

sessions       ONNX Runtime sessions with `session_options()`, made, run and dropped: memory, threads and files are flat
threads        8 threads that make, run and drop LiteRT interpreters of one `delegate()`: bytes are those of XNNPACK
provider       mutated `.onnx` files: with the provider the bytes of ONNX Runtime, or a clean error (fuzz_provider.py)
delegate       mutated `.tflite` files, the same with the delegate and XNNPACK (fuzz_delegate.py)
killed-export  `export()` to .tflite and .onnx, ended by SIGKILL at random moments: the target is absent, as it was, or
               new and whole, and the next export leaves nothing beside it

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
from ai_edge_litert.interpreter import Interpreter
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "edge")]

from tests.edge import lifetimes  # noqa: E402
from tests.edge.native import families  # noqa: E402

CHUNKS = 10  # of a fuzzer, so that there is progress to show

EXPORTS = """
import json, os, sys, time
from pathlib import Path
import keras, numpy as np
import keras_sparse as ks
target, seed, absent = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "absent"
x = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
def export(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(4)])
    ks.export(model, target, samples=x, quantize="int8" if target.suffix == ".tflite" else None)
start = time.perf_counter()
export(seed)
print(json.dumps([each.name for each in target.parent.iterdir() if each != target]), flush=True)
if absent:
    target.unlink()
print(time.perf_counter() - start, flush=True)
export(seed + 1)
time.sleep(600)
"""


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


def whole(target):
    """Whether the runtime loads the file and runs it."""
    try:
        if target.suffix == ".onnx":
            made = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
            return made.get_outputs()[0].shape[-1] == 4
        made = Interpreter(model_path=str(target))
        made.allocate_tensors()
        made.invoke()
    except Exception as error:  # whatever a runtime says of a part of a file
        print(f"{target}: {error}", file=sys.stderr)
        return False
    return made.get_output_details()[0]["shape"][-1] == 4


def killed_once(target, seed, absent, moment):
    """What is at the target after an export that was killed, and what the undisturbed one before it left."""
    words = [sys.executable, "-c", EXPORTS, str(target), str(seed), "absent" if absent else "old"]
    scratch = target.parent.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(scratch)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        left = process.stdout.readline()
        old = target.read_bytes() if target.is_file() and not absent else None
        seconds = process.stdout.readline()
        if not seconds:
            raise SystemExit("killed-export: the export failed by itself")
        time.sleep(moment * float(seconds))
        process.kill()
    if not target.is_file():
        return ("absent" if absent else "lost"), json.loads(left)
    if old is not None and target.read_bytes() == old:
        return "old", json.loads(left)
    return ("new" if whole(target) else "broken"), json.loads(left)


def killed_export(options, tick):
    count, rng = options.count or 200, random.Random(options.seed)
    states, leftovers = dict.fromkeys(("absent", "old", "new", "lost", "broken"), 0), set()
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(count):
            target = Path(folder, "exports", ("model.tflite", "model.onnx")[turn // 2 % 2])
            target.parent.mkdir(exist_ok=True)
            for other in target.parent.glob("model.*"):
                if other != target:
                    other.unlink()
            state, left = killed_once(target, turn, bool(turn % 2), rng.random())
            states[state] += 1
            leftovers.update(left)
            tick(1 / count)
    found = ", ".join(f"{number} {state}" for state, number in states.items())
    found += f"; {len(leftovers)} leftovers after the next export"
    return {"cases": count, "wrong": states["lost"] + states["broken"] + len(leftovers), "found": found}


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
