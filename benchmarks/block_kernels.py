"""From which sparsity on LiteRT's block kernels are faster than its dense ones, and where they are not.

    python benchmarks/block_kernels.py [--sizes [256 1024 ...]] [--autoencoder] [--rounds 40] [--batch 1]

Four square Dense layers, or the shape of MLPerf Tiny's autoencoder (640-128-128-128-128-8-128-128-128-128-640), with
zero blocks, one thread: float32 in 1x4 blocks, int8 weights ("int8-weights") and static int8 in 1x16 blocks, and static
int8 in 16x4 blocks with `ks.delegate()` where it can be had, each against every scheme dense, all as `ks.export` writes
them, with float inputs and outputs. Each file runs in a process of its own, as it would on a
device: in one process, XNNPACK's dynamic int8 kernels leave the processor in a state in which the block kernels run
three times slower. Processes take turns; warm is called again and again, so that weights stay in the cache, cold is
called after 128 MB of other reads. Prints medians of the ratios, round by round, and plots where they pass 1.
`keras_sparse/targets/tflite_blocks.py` states them.
"""

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras_sparse_edge import native
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse as ks

LAYERS = 4
AUTOENCODER = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
SPARSITIES = (0.5, 0.75, 0.8, 0.85, 0.9, 0.95)
SCHEMES = ("float32", "int8-weights", "int8")
FORMS = {
    "float32 1x4": ("float32", (1, 4), ""),
    "int8-weights 1x16": ("int8-weights", (1, 16), ""),
    "int8 1x16": ("int8", (1, 16), ""),
}
"""Scheme, blocks (outputs x inputs) and external delegate of each sparse form."""
if native.available():
    FORMS["int8 16x4, native"] = ("int8", (16, 4), str(native.LIBRARY))

WORKER = """
import sys, time
import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate
delegates = [load_delegate(path) for path in sys.argv[2:]]
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1, experimental_delegates=delegates)
interpreter.allocate_tensors()
(port,) = interpreter.get_input_details()
interpreter.set_tensor(port["index"], np.random.default_rng(2).normal(size=port["shape"]).astype(np.float32))
for _ in range(20):
    interpreter.invoke()
other = np.ones(16 << 20)  # 128 MB
for line in sys.stdin:
    cold = line.strip() == "cold"
    if cold:
        other.sum()
    else:
        interpreter.invoke()
    calls = 1 if cold else 40
    start = time.perf_counter()
    for _ in range(calls):
        interpreter.invoke()
    print((time.perf_counter() - start) / calls, flush=True)
"""


class Process:
    """A file, loaded in a process of its own."""

    def __init__(self, path, delegate=""):
        words = [sys.executable, "-c", WORKER, str(path), *([delegate] if delegate else [])]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(words, text=True, **pipes)

    def seconds(self, state):
        self.process.stdin.write(f"{state}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.communicate()


def network(widths, sparsity, block, batch):
    """Dense layers whose kernels have that fraction of zero blocks, outputs x inputs."""
    rows, columns = block
    generator = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((batch, widths[0]) if batch > 1 else (widths[0],))])
    for inputs, outputs in itertools.pairwise(widths):
        model.add(keras.layers.Dense(outputs, "relu"))
        high, wide = -(-inputs // columns), -(-outputs // rows)
        kept = generator.permutation(high * wide) >= sparsity * high * wide
        kept = kept.reshape(high, wide).repeat(columns, 0).repeat(rows, 1)[:inputs, :outputs]
        weights = generator.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        model.layers[-1].kernel.assign(np.where(kept, weights, 0.0))
    return model


def measure(name, widths, rounds, batch, folder, sparsities):
    """{form: {scheme: {"warm" or "cold": {sparsity: median gain over the scheme dense}}}}, and dense seconds."""
    shape = (batch, widths[0]) if batch > 1 else (widths[0],)
    samples = np.random.default_rng(1).normal(size=(8, *shape)).astype(np.float32)

    def start(scheme, sparsity, block, encoding, delegate=""):
        path = Path(folder, f"{len(processes)}.tflite")
        quantize = None if scheme == "float32" else scheme
        ks.export(network(widths, sparsity, block, batch), path, samples=samples, quantize=quantize, encoding=encoding)
        return Process(path, delegate)

    processes = {}
    for scheme in SCHEMES:
        processes[scheme, "dense"] = start(scheme, 0.0, (1, 1), "dense")
    for form, (scheme, block, delegate) in FORMS.items():
        for sparsity in sparsities:
            encoding = "dense" if delegate else "block"
            processes[form, sparsity] = start(scheme, sparsity, block, encoding, delegate)
    seconds = {state: {key: [] for key in processes} for state in ("warm", "cold")}
    for _ in track(range(rounds), f"{name}, rounds"):
        for state, times in seconds.items():
            for key, process in processes.items():
                times[key].append(process.seconds(state))
    for process in processes.values():
        process.close()

    def ratio(state, other, key):
        pairs = zip(seconds[state][other], seconds[state][key], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return {
        "dense_seconds": {
            state: {scheme: statistics.median(times[scheme, "dense"]) for scheme in SCHEMES}
            for state, times in seconds.items()
        },
        "gains": {
            form: {
                other: {state: {s: ratio(state, (other, "dense"), (form, s)) for s in sparsities} for state in seconds}
                for other in SCHEMES
            }
            for form in FORMS
        },
    }


def table(name, found, state, sparsities):
    dense = ", ".join(f"{scheme} {1e6 * each:.1f} us" for scheme, each in found["dense_seconds"][state].items())
    made = Table(title=f"{name}, {state}; dense: {dense}")
    for column in ("blocks", "against dense", *(f"{s:.0%}" for s in sparsities)):
        made.add_column(column)
    for form, against in found["gains"].items():
        for other, gains in against.items():
            made.add_row(form, other, *(f"{gains[state][s]:.2f}x" for s in sparsities))
    return made


def plot(results, sparsities, path):
    """One panel a network: gain of hybrid blocks and of the native kernels over dense int8, and where it passes 1."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(results), figsize=(4.2 * len(results), 3.6), squeeze=False, sharey=True)
    for axis, (name, found) in zip(axes[0], results.items(), strict=True):
        colors = {"int8-weights 1x16": ("tab:red", "tab:blue"), "int8 16x4, native": ("tab:green", "tab:olive")}
        for form in [each for each in colors if each in found["gains"]]:
            for other, style in (("int8-weights", "-"), ("int8", "--")):
                for state, color in zip(("warm", "cold"), colors[form], strict=True):
                    gains = found["gains"][form][other][state]
                    label = f"{form} over dense {other}, {state}"
                    axis.plot([100 * s for s in sparsities], list(gains.values()), style, color=color, label=label)
        axis.axhline(1.0, color="0.5", linewidth=0.8)
        axis.set(title=name, xlabel="zero blocks, %")
    axes[0][0].set_ylabel("times faster than dense")
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main(options):
    console, results = Console(width=120), {}
    cases = {f"4 x Dense({size})": (size,) * (LAYERS + 1) for size in options.sizes}
    if options.autoencoder:
        cases["MLPerf Tiny autoencoder"] = AUTOENCODER
    with tempfile.TemporaryDirectory() as folder:
        for name, widths in cases.items():
            results[name] = measure(name, widths, options.rounds, options.batch, folder, SPARSITIES)
            for state in ("warm", "cold"):
                console.print(table(name, results[name], state, SPARSITIES))
    machine = f"{platform.machine()}, {os.cpu_count()} processors"
    print(f"{machine}; medians of {options.rounds} rounds; {options.batch} vectors at a time")
    Path(options.json).write_text(
        json.dumps({"machine": machine, "rounds": options.rounds, "results": results}, indent=2)
    )
    plot(results, SPARSITIES, options.plot)
    print(f"{options.plot}, {options.json}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1024])
    parser.add_argument("--autoencoder", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--batch", type=int, default=1, help="vectors that meet each kernel at a time")
    parser.add_argument("--json", default="block_kernels.json")
    parser.add_argument("--plot", default="block_kernels.png")
    main(parser.parse_args())
