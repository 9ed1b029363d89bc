"""The native INT8 kernels against ONNX Runtime's own, on the same files, in the same process.

    python benchmarks/native_onnx.py [--cases mobilenet dense] [--threads 1 2] [--rounds 60] [--layers]

Networks with zero blocks, exported to int8 by keras_sparse: MobileNetV1 1.0 224 in 1x4 blocks, fully connected layers
in 16x4 blocks (outputs x inputs). Each file is loaded twice, without and with `session_options()`, with the same number
of threads; the outputs must be the same bytes; calls take turns, and the medians of the ratios are printed. At 0 %
nothing is claimed: the ratio says what the loaded provider costs. `--layers` measures instead one layer between two
dense ones, which ONNX Runtime runs in its own layout: with the sparsity from which on `edge/kernels/gain.c` claims it,
and more.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnxruntime
from keras_sparse_edge.provider import NAME, session_options
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse as ks

# height, width, inputs, outputs, kernel, stride, and where the layer's break-even is with AVX-512
CONVOLUTIONS = (
    (28, 28, 32, 192, 1, 1, 0.5),
    (56, 56, 64, 128, 1, 1, 0.5),
    (14, 14, 512, 512, 1, 1, 0.55),
    (7, 7, 1024, 1024, 1, 1, 0.65),
    (25, 5, 64, 64, 1, 1, 0.5),
    (56, 56, 64, 64, 3, 1, 0.58),
    (14, 14, 256, 256, 3, 1, 0.68),
    (56, 56, 64, 128, 3, 2, 0.58),
)
DENSE = ((128, 128, 0.7), (512, 512, 0.55), (1024, 1000, 0.55))


def mobilenet():
    return keras.applications.MobileNet(
        weights=None, input_tensor=keras.Input((224, 224, 3), batch_size=1), classifier_activation=None
    )


def perceptron(inputs, *layers):
    x = vector = keras.Input((inputs,), batch_size=1)
    for outputs in layers:
        x = keras.layers.Dense(outputs, "relu")(x)
    return keras.Model(vector, keras.layers.Dense(10)(x))


CASES = {
    "mobilenet": {"MobileNetV1 1.0 224": ((1, 4), (0.0, 0.75, 0.8, 0.9), mobilenet)},
    "dense": {
        "Dense 640, 1024, 1024, 512": ((16, 4), (0.0, 0.8), lambda: perceptron(640, 1024, 1024, 512)),
        "Dense 4096 -> 4096": ((16, 4), (0.0, 0.8), lambda: perceptron(4096, 4096)),
    },
}


def convolution(height, width, inputs, outputs, kernel, stride):
    """The layer between two that are dense and small."""
    image = keras.Input((height, width, 8), batch_size=1)
    x = keras.layers.Conv2D(inputs, 1, activation="relu")(image)
    x = keras.layers.Conv2D(outputs, kernel, stride, "same", activation="relu")(x)
    return keras.Model(image, keras.layers.Conv2D(8, 1)(x))


def fill(model, sparsity, block):
    """Random weights that keep activations spread, with zero blocks in all but depthwise and small layers."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if not hasattr(layer, "kernel"):
            continue
        shape = layer.kernel.shape
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        kernel = generator.normal(0, (2 / np.prod(shape[:2] if depthwise else shape[:-1])) ** 0.5, shape)
        if layer.bias is not None:
            layer.bias.assign(generator.normal(0, 0.1, layer.bias.shape))
        if sparsity and not depthwise and shape[-2] >= 16 and shape[-1] >= 16:
            taps = np.moveaxis(np.abs(kernel).reshape(-1, *shape[-2:]), 1, 2)  # as patterns have it: outputs, inputs
            kept = ks.Block(block, sparsity).mask(taps, 1.0)
            kernel = kernel * np.moveaxis(kept, 2, 1).reshape(shape) / (1 - sparsity) ** 0.5
        layer.kernel.assign(kernel)


def session(path, threads, provider):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if not provider:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnxruntime.InferenceSession(str(path), session_options(options))


def claims(made):
    kinds = ("Conv", "Gemm", "MatMul")
    parts = [part.get_nodes() for part in made.get_provider_graph_assignment_info() if part.ep_name == NAME]
    return [sum(node.op_type in kinds for node in part) for part in parts]


def compare(model, threads, rounds):
    """Median seconds of ONNX Runtime's kernels and of these, and of the ratios round by round."""
    x = np.random.default_rng(1).normal(size=(4, *model.inputs[0].shape[1:])).astype("float32")
    with tempfile.TemporaryDirectory() as folder:
        path = ks.export(model, Path(folder, "model.onnx"), samples=x, quantize="int8").path
        for each in threads:
            sessions = [session(path, each, provider) for provider in (False, True)]
            yield {"threads": each, "claims": claims(sessions[1]), **timed(sessions, x[:1], rounds)}


def timed(sessions, x, rounds):
    runs = [lambda made=made: made.run(None, {made.get_inputs()[0].name: x})[0] for made in sessions]
    outputs = [run() for run in runs]
    if not np.array_equal(*outputs) or len(np.unique(outputs[0])) < 5:
        raise SystemExit("the outputs are not the same bytes, or say nothing")
    start = time.perf_counter()
    runs[0]()
    calls = max(1, int(0.002 / (time.perf_counter() - start)))
    seconds = ([], [])
    for _ in range(rounds):
        for run, times in zip(runs, seconds, strict=True):
            run()  # what the other one left in the caches is not counted
            start = time.perf_counter()
            for _ in range(calls):
                run()
            times.append((time.perf_counter() - start) / calls)
    dense, sparse = (statistics.median(times) for times in seconds)
    ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
    return {"onnxruntime_seconds": dense, "native_seconds": sparse, "ratio": ratio}


def networks(options):
    for case in options.cases:
        for name, (block, sparsities, build) in CASES[case].items():
            for sparsity in sparsities:
                yield name, sparsity, block, build, options.threads


def layers(options):
    for *shape, least in CONVOLUTIONS:
        height, width, inputs, outputs, kernel, stride = shape
        name = f"{height}x{width}x{inputs} -> {outputs}, {kernel}x{kernel} / {stride}"
        for sparsity in (least + 0.02, 0.8, 0.9):
            yield name, sparsity, (1, 4), lambda shape=shape: convolution(*shape), options.threads[:1]
    for inputs, outputs, least in DENSE:
        for sparsity in (least + 0.02, 0.8, 0.9):
            shape = (inputs, outputs)
            yield f"Dense {inputs} -> {outputs}", sparsity, (16, 4), lambda s=shape: perceptron(*s), options.threads[:1]


def main(options):
    console, results = Console(width=110), []
    table = Table(title="against ONNX Runtime's int8 kernels")
    for column in ("network", "zero blocks", "threads", "claimed", "ONNX Runtime", "native", "ratio"):
        table.add_column(column, justify="left" if column == "network" else "right")
    cases = [*(layers if options.layers else networks)(options)]
    for name, sparsity, block, build, threads in track(cases, "networks", console=console, transient=True):
        model = build()
        fill(model, sparsity, block)
        for found in compare(model, threads, options.rounds):
            results.append({"network": name, "sparsity": sparsity, **found})
            times = (f"{1e3 * found[f'{each}_seconds']:.3f} ms" for each in ("onnxruntime", "native"))
            claimed = "+".join(map(str, found["claims"])) or "none"
            table.add_row(name, f"{sparsity:.0%}", str(found["threads"]), claimed, *times, f"{found['ratio']:.2f}x")
    console.print(table)
    version = f"ONNX Runtime {onnxruntime.__version__}"
    machine = f"{platform.machine()}, {os.cpu_count()} processors, {version}"
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
    parser.add_argument("--layers", action="store_true")
    parser.add_argument("--json", default="native_onnx.json")
    main(parser.parse_args())
