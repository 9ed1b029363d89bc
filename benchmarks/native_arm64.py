"""The native ARM64 kernels against XNNPACK's dense int8 ones, in emulated instructions.

    python benchmarks/native_arm64.py --root ROOT [--cases mobilenet dense] [--layers] [--json native_arm64.json]

The networks of native_kernels.py, each run with and without the delegate by an emulated processor, in one thread; the
outputs must be the same bytes. What is compared are the INSTRUCTIONS of one call, counted by qemu: no seconds, and
nothing of caches. "dots" are the sdot among them; smmla (i8mm, which XNNPACK uses where a processor has it) multiplies
twice as much and counts as two. `--layers` measures single layers, from which break-evens can be read.

Needs gcc-aarch64-linux-gnu and qemu-user (the one with plugins, not qemu-user-static; Debian: apt install
--no-install-recommends), and a folder ROOT with an AArch64 system in which /usr/bin/python3.11 finds NumPy and
ai-edge-litert in /site.
"""

import argparse
import json
import os
import runpy
import subprocess
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from native_kernels import CASES, CONVOLUTIONS, DENSE, SPARSITIES, convolution, dense, fill, int8
from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = Path(__file__).resolve().parent
PROCESSORS = {"sdot": "cortex-a76", "sdot and i8mm": "max,sve=off,sme=off"}
LAYER_SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
CALL = """
import ctypes, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
library, threshold, *paths = sys.argv[1:]
options = {"threads": "1", "threshold": threshold} if threshold else {"threads": "1"}
mark = ctypes.CDLL(None).prctl
for path in paths:
    made = []
    for delegates in (None, [load_delegate(library, options)]):
        interpreter = Interpreter(path, None, delegates, num_threads=1)
        interpreter.allocate_tensors()
        (port,) = interpreter.get_input_details()
        random = np.random.default_rng(1)
        interpreter.set_tensor(port["index"], random.integers(-128, 128, port["shape"]).astype(np.int8))
        interpreter.invoke()
        mark(0x6B73, 0)
        interpreter.invoke()
        mark(0x6B73, 1)
        made.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    if not np.array_equal(*made):
        raise SystemExit(f"{path}: the outputs are not the same bytes")
"""


def compiled(folder):
    """The library for AArch64, and the plugin that counts."""
    library, plugin = folder / "libkeras_sparse.so", folder / "instructions.so"
    build = runpy.run_path(str(HERE.parent / "edge" / "build_library.py"))
    subprocess.run(build["command"](library, "aarch64-linux-gnu-gcc"), check=True)
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", plugin, HERE / "instructions.c"], check=True)
    return library, plugin


def counted(files, processor, options, folder, threshold=""):
    """For each file, (instructions, dots) of a call with XNNPACK and of one with the delegate."""
    script, (library, plugin) = folder / "call.py", compiled(folder)
    script.write_text(CALL)
    words = [options.qemu, "-cpu", processor, "-L", options.root, "-plugin", plugin, "-E", "PYTHONPATH=/site"]
    words += [Path(options.root, "usr/bin/python3.11"), script, library, threshold, *files]
    ran = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{options.qemu} ended with {ran.returncode}: {ran.stderr[-2000:]}")
    marks = [[int(n) for n in line.split()[2:]] for line in ran.stderr.splitlines() if line.startswith("COUNT")]
    calls = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(marks[::2], marks[1::2], strict=True)]
    return list(zip(calls[::2], calls[1::2], strict=True))


def networks(options, console, folder):
    cases = []
    for case in options.cases:
        for name, (block, build) in CASES[case].items():
            model = build()
            for sparsity in track(SPARSITIES[case], name, console=console, transient=True):
                fill(model, sparsity, block)
                file = folder / f"{len(cases)}.tflite"
                file.write_bytes(int8(model))
                cases.append((name, sparsity, file))
    table = Table(title="emulated instructions of one call, XNNPACK's dense int8 kernels / native")
    for column in ("network", "zero blocks", "processor", "XNNPACK", "native", "ratio", "dots, XNNPACK", "native"):
        table.add_column(column, justify="left" if column == "network" else "right")
    results = []
    for processor, cpu in PROCESSORS.items():
        found = counted([file for *_, file in cases], cpu, options, folder)
        for (name, sparsity, _), (theirs, ours) in zip(cases, found, strict=True):
            ratio, (counts, dots) = theirs[0] / ours[0], zip(theirs, ours, strict=True)
            figures = {"xnnpack": counts[0], "native": counts[1], "ratio": ratio, "dots": dots}
            results.append({"network": name, "sparsity": sparsity, "processor": cpu, **figures})
            millions = [f"{each / 1e6:.2f} M" for each in (*counts, *dots)]
            table.add_row(name, f"{sparsity:.0%}", processor, *millions[:2], f"{ratio:.2f}x", *millions[2:])
    console.print(table)
    return results


def layers(options, console, folder):
    cases = [(f"{h}x{w}x{i} -> {o}, {k}x{k} / {s}", (1, 4), lambda c=(h, w, i, o, k, s): convolution(*c))
             for h, w, i, o, k, s in CONVOLUTIONS]  # fmt: skip
    for block in ((16, 4), (1, 16)):
        cases += [(f"Dense {i} -> {o}, {block[0]}x{block[1]}", block, lambda i=i, o=o: dense(i, o)) for i, o in DENSE]
    files = []
    for _, block, build in track(cases, "layers", console=console, transient=True):
        model = build()
        for sparsity in LAYER_SPARSITIES:
            fill(model, sparsity, block)
            files.append(folder / f"{len(files)}.tflite")
            files[-1].write_bytes(int8(model))
    results = []
    for processor, cpu in PROCESSORS.items():
        table = Table(title=f"single layers, all claimed: XNNPACK's instructions / native, {processor}")
        for column in ("layer", *(f"{s:.0%}" for s in LAYER_SPARSITIES)):
            table.add_column(column)
        found = iter(counted(files, cpu, options, folder, "0"))
        for name, *_ in cases:
            ratios = [theirs[0] / ours[0] for theirs, ours in (next(found) for _ in LAYER_SPARSITIES)]
            results.append(
                {"layer": name, "processor": cpu, "ratios": dict(zip(LAYER_SPARSITIES, ratios, strict=True))}
            )
            table.add_row(name, *(f"{ratio:.2f}" for ratio in ratios))
        console.print(table)
    return results


def main(options):
    console = Console(width=110)
    with tempfile.TemporaryDirectory() as folder:
        results = (layers if options.layers else networks)(options, console, Path(folder))
    Path(options.json).write_text(json.dumps({"machine": "emulated instructions", "results": results}, indent=2))
    print(options.json)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=os.environ.get("ARM64_ROOT"), required="ARM64_ROOT" not in os.environ)
    parser.add_argument("--qemu", default="qemu-aarch64")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["mobilenet", "dense"])
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--json", default="native_arm64.json")
    main(parser.parse_args())
