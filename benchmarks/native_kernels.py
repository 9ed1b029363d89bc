"""The native INT8 kernels against XNNPACK's dense ones, on the same files, in the same process.

    python benchmarks/native_kernels.py [--cases mobilenet resnet dense autoencoder] [--threads 1 2] [--rounds 60]
        [--layers [--write] | --memory]

Networks with zero blocks, converted to int8 by the stock converter: MobileNetV1 1.0 224 and ResNet50 224 in 1x4 blocks,
one Dense layer in 16x4 and 1x16 blocks (outputs x inputs). Each file is loaded twice, without and with `ks.delegate()`,
with the same number of threads; the outputs must be the same bytes; calls take turns, and the medians of the ratios are
printed. At 0 % nothing is claimed: the ratio says what the loaded delegate costs. `--layers` measures single layers
instead; with `--write` they become the data file of `ks.explain` for this kind of processor, with machine and date,
and the break-evens of the native library (`break_evens.py`), which is to be built again then. `--memory` measures, in
a process for each, what loading a file and running it once adds at the peak and leaves, and how long loading takes;
and the size of the library.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import break_evens
import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras_sparse_edge import native
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse as ks

SPARSITIES = {
    "mobilenet": (0.0, 0.75, 0.8, 0.9),
    "resnet": (0.0, 0.8),
    "dense": (0.0, 0.8),
    "autoencoder": (0.0, 0.8, 0.9),
}
KERNELS = ("avx512-vnni", "avx512vl-vnni", "avx-vnni", "avx2", "neon-dot")
"""Best first, as `ks.delegate(kernels="auto")` takes them."""

LAYER_SPARSITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# height, width, inputs, outputs, kernel, stride
CONVOLUTIONS = (
    (4, 4, 64, 64, 1, 1),
    (7, 7, 160, 960, 1, 1),
    (7, 7, 1024, 1024, 1, 1),
    (14, 14, 512, 512, 1, 1),
    (25, 5, 64, 64, 1, 1),
    (28, 28, 32, 192, 1, 1),
    (28, 28, 192, 32, 1, 1),
    (56, 56, 64, 128, 1, 1),
    (112, 112, 32, 64, 1, 1),
    (56, 56, 64, 64, 3, 1),
    (14, 14, 256, 256, 3, 1),
    (7, 7, 512, 512, 3, 1),
    (56, 56, 64, 128, 3, 2),
    (28, 28, 256, 512, 1, 2),
)
DENSE = ((128, 128), (256, 256), (640, 128), (512, 512), (1024, 1000), (2048, 2048))


def dense(inputs, outputs):
    vector = keras.Input((inputs,), batch_size=1)
    return keras.Model(vector, keras.layers.Dense(outputs, "relu")(vector))


def autoencoder():
    """MLPerf Tiny's, for anomaly detection: 640 inputs, layers of 128 and one of 8."""
    x = vector = keras.Input((640,), batch_size=1)
    for outputs in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = keras.layers.Dense(outputs, "relu")(x)
    return keras.Model(vector, keras.layers.Dense(640)(x))


def convolution(height, width, inputs, outputs, kernel, stride):
    image = keras.Input((height, width, inputs), batch_size=1)
    layer = keras.layers.Conv2D(outputs, kernel, stride, "same", activation="relu")
    return keras.Model(image, layer(image))


def application(build):
    return build(weights=None, input_tensor=keras.Input((224, 224, 3), batch_size=1))


CASES = {
    "autoencoder": {"MLPerf Tiny autoencoder": ((16, 4), autoencoder)},
    "mobilenet": {"MobileNetV1 1.0 224": ((1, 4), lambda: application(keras.applications.MobileNet))},
    "resnet": {"ResNet50 224": ((1, 4), lambda: application(keras.applications.ResNet50))},
    "dense": {
        f"Dense({n}), {rows}x{columns}": ((rows, columns), lambda n=n: dense(n, n))
        for n in (1024, 4096)
        for rows, columns in ((16, 4), (1, 16))
    },
}


def fill(model, sparsity, block):
    """Random weights that keep activations spread, with zero blocks in all but depthwise and first convolutions."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [generator.uniform(0.8, 1.2, shape) if i in (0, 3) else np.zeros(shape) for i in range(4)]
            )
        if not isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            continue
        shape = layer.kernel.shape
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = generator.normal(0, (2 / np.prod(shape[:2] if depthwise else shape[:-1])) ** 0.5, shape)
        if sparsity and not depthwise and shape[-2] >= 8:
            taps = np.moveaxis(np.abs(kernel).reshape(-1, *shape[-2:]), 1, 2)  # as patterns have it: outputs, inputs
            kept = ks.Block(block, sparsity).mask(taps, 1.0)
            kernel = kernel * np.moveaxis(kept, 2, 1).reshape(shape) / (1 - sparsity) ** 0.5
        layer.kernel.assign(kernel)


def int8(model):
    """The file that the stock converter makes."""
    shape, generator = model.inputs[0].shape, np.random.default_rng(3)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([generator.normal(size=shape).astype(np.float32)] for _ in range(2))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def load(file, threads, delegate=None):
    delegates = [delegate] if delegate else None
    interpreter = Interpreter(model_content=file, num_threads=threads, experimental_delegates=delegates)
    interpreter.allocate_tensors()
    (port,) = interpreter.get_input_details()
    interpreter.set_tensor(
        port["index"], np.random.default_rng(1).integers(-128, 128, port["shape"]).astype(port["dtype"])
    )
    interpreter.invoke()
    return interpreter


def output(interpreter):
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def compare(file, threads, rounds, **options):
    """Median seconds of XNNPACK and of the delegate, and of the ratios round by round."""
    start = time.perf_counter()
    plain = load(file, threads)
    loaded = time.perf_counter()
    ours = load(file, threads, ks.delegate(**options))
    loading = {"xnnpack": loaded - start, "native": time.perf_counter() - loaded}
    if not np.array_equal(output(plain), output(ours)):
        raise SystemExit("the outputs are not the same bytes")
    start = time.perf_counter()
    plain.invoke()
    calls = max(1, int(0.002 / (time.perf_counter() - start)))
    seconds = ([], [])
    for _ in range(rounds):
        for interpreter, times in zip((plain, ours), seconds, strict=True):
            interpreter.invoke()  # what the other one left in the caches is not counted
            start = time.perf_counter()
            for _ in range(calls):
                interpreter.invoke()
            times.append((time.perf_counter() - start) / calls)
    dense, sparse = (statistics.median(times) for times in seconds)
    ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
    return {"xnnpack_seconds": dense, "native_seconds": sparse, "ratio": ratio, "loading_seconds": loading}


def networks(options, console):
    results = []
    table = Table(title="against XNNPACK's dense int8 kernels")
    for column in ("network", "zero blocks", "threads", "XNNPACK", "native", "ratio"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for case in options.cases:
        for name, (block, build) in CASES[case].items():
            model = build()
            for sparsity in track(SPARSITIES[case], name, console=console, transient=True):
                fill(model, sparsity, block)
                file = int8(model)
                for threads in options.threads:
                    found = compare(file, threads, options.rounds, kernels=options.kernels)
                    results.append({"network": name, "sparsity": sparsity, "threads": threads, **found})
                    times = (f"{1e3 * found[f'{each}_seconds']:.3f} ms" for each in ("xnnpack", "native"))
                    table.add_row(name, f"{sparsity:.0%}", str(threads), *times, f"{found['ratio']:.2f}x")
    console.print(table)
    return results


def layers(options, console):
    results = []
    table = Table(title="single layers, all claimed: times faster than XNNPACK, by fraction of zero blocks")
    for column in ("layer", *(f"{s:.0%}" for s in LAYER_SPARSITIES)):
        table.add_column(column)
    cases = [(f"{h}x{w}x{i} -> {o}, {k}x{k} / {s}", (1, 4), lambda c=(h, w, i, o, k, s): convolution(*c),
              {"pixels": -(-h // s) * -(-w // s), "inputs": i, "outputs": o, "taps": k * k})
             for h, w, i, o, k, s in CONVOLUTIONS]  # fmt: skip
    for block in ((16, 4), (1, 16)):
        shape = f"{block[0]}x{block[1]}"
        cases += [(f"Dense {i} -> {o}, {shape}", block, lambda i=i, o=o: dense(i, o),
                   {"inputs": i, "outputs": o, "block": shape}) for i, o in DENSE]  # fmt: skip
    measured = {"convolutions": [], "connected": []}
    for name, block, build, about in track(cases, "layers", console=console, transient=True):
        model, row = build(), []
        for sparsity in LAYER_SPARSITIES:
            fill(model, sparsity, block)
            found = compare(int8(model), options.threads[0], options.rounds, kernels=options.kernels, threshold=0)
            results.append({"layer": name, "sparsity": sparsity, **found})
            row.append(round(found["ratio"], 2))
        table.add_row(name, *(f"{ratio:.2f}" for ratio in row))
        measured["connected" if "block" in about else "convolutions"].append({**about, "gains": row})
    console.print(table)
    if options.write:
        write(options, measured)
    return results


def write(options, layers):
    """The data file of this kind of processor, and the library's table."""
    measured = {
        "kernels": options.kernels if options.kernels != "auto" else next(filter(has, KERNELS)),
        "machine": f"{options.machine or processor()}, {os.cpu_count()} cores",
        "date": datetime.date.today().isoformat(),
        "litert": importlib.metadata.version("ai-edge-litert"),
        "command": "python benchmarks/native_kernels.py --layers --write",
        "sparsities": LAYER_SPARSITIES,
        **layers,
    }
    measured["break_evens"] = break_evens.break_evens(measured)
    print(*break_evens.write(measured), sep="\n")


def has(kernels):
    """Whether this processor has an instruction set."""
    try:
        ks.delegate(kernels=kernels)
    except ValueError:
        return False
    return True


def processor():
    """The processor's name, where the system tells it."""
    found = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in found.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


LOADING = """
import sys, time
from pathlib import Path
from ai_edge_litert.interpreter import Interpreter, load_delegate

def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

path, threads, library = sys.argv[1:]
before, start = memory("VmRSS"), time.perf_counter()
delegates = [load_delegate(library)] if library else None
interpreter = Interpreter(path, num_threads=int(threads), experimental_delegates=delegates)
interpreter.allocate_tensors()
loaded = time.perf_counter()
interpreter.invoke()
print(memory("VmHWM") - before, memory("VmRSS") - before, loaded - start)
"""


def loading(path, threads, library):
    """Medians over processes: bytes added at the peak, bytes that stay, seconds of loading."""
    command = [sys.executable, "-c", LOADING, str(path), str(threads), library]
    runs = [[float(n) for n in subprocess.check_output(command, text=True).split()] for _ in range(5)]
    return [statistics.median(each) for each in zip(*runs, strict=True)]


def memory(options, console):
    results = []
    table = Table(title="loading a file and running it once; the file's own bytes are mapped and counted")
    for column in ("network, 80 % zero blocks", "threads", "kernels", "peak", "stays", "loading"):
        table.add_column(column, justify="right" if column in ("peak", "stays", "loading") else "left")
    with tempfile.TemporaryDirectory() as folder:
        for case in options.cases:
            for name, (block, build) in CASES[case].items():
                model, path = build(), Path(folder, "model.tflite")
                fill(model, 0.8, block)
                path.write_bytes(int8(model))
                for threads in options.threads:
                    for kernels, library in (("XNNPACK", ""), ("native", str(native.LIBRARY))):
                        peak, stays, seconds = loading(path, threads, library)
                        found = {"peak_bytes": peak, "bytes": stays, "loading_seconds": seconds}
                        file = {"network": name, "file_bytes": path.stat().st_size}
                        results.append({**file, "threads": threads, "kernels": kernels, **found})
                        figures = (f"{peak / 2**20:.2f} MiB", f"{stays / 2**20:.2f} MiB", f"{1e3 * seconds:.1f} ms")
                        table.add_row(name, str(threads), kernels, *figures)
    console.print(table)
    print(f"the library has {native.LIBRARY.stat().st_size} bytes")
    return results


def main(options):
    console = Console(width=110)
    results = (layers if options.layers else memory if options.memory else networks)(options, console)
    machine = f"{platform.machine()}, {os.cpu_count()} processors, kernels: {options.kernels}"
    print(f"{machine}; medians of {options.rounds} rounds")
    Path(options.json).write_text(
        json.dumps({"machine": machine, "rounds": options.rounds, "results": results}, indent=2)
    )
    print(options.json)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--kernels", default="auto", help="an instruction set of ks.delegate")
    parser.add_argument("--write", action="store_true", help="with --layers: the data files of this processor")
    parser.add_argument("--machine", help="what the data file calls it; by default the processor's name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--layers", action="store_true")
    what.add_argument("--memory", action="store_true")
    parser.add_argument("--json", default="native_kernels.json")
    main(parser.parse_args())
