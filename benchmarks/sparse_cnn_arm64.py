"""XNNPACK's sparse kernels on AArch64: that they run, and what they save, as far as emulation shows it.

    python benchmarks/sparse_cnn_arm64.py [--size 96] [--rounds 5] [--json sparse_cnn_arm64.json]

A MobileNet (v1, width 0.5) whose 1x1 convolutions have 75 % and 90 % zeros in blocks of four outputs, exported for
litert-arm64 in float32, in float16 and with int8 weights, dense and in sparse rows with DENSIFY. All files run in one
process on an emulated Cortex-A76, in turns, one thread; the ratio is dense over sparse of the same scheme. These are
ratios of EMULATED time: they show which kernels run and how much work they save, not how fast a processor is. The dense
files with int8 weights compute in int8, which emulates faster than float: for these, the measure is dense float32.

Emulation is the command that `KERAS_SPARSE_ARM64RUN` names, or `arm64run` on the path.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse as ks

SPARSITIES = (0.75, 0.9)
FORMS = {
    "float32": {"quantize": None, "encoding": "csr"},
    "float16": {"quantize": "float16", "encoding": "csr"},
    "int8 weights, float arithmetic": {"quantize": "int8-weights", "encoding": "csr"},
}
TIMES = """
import json, sys, time
from ai_edge_litert.interpreter import Interpreter
rounds, *paths = sys.argv[1:]
interpreters = [Interpreter(model_path=path, num_threads=1) for path in paths]
for each in interpreters:
    each.allocate_tensors()
    each.invoke()
seconds = [[] for _ in paths]
for _ in range(int(rounds)):
    for each, times in zip(interpreters, seconds):
        start = time.perf_counter()
        each.invoke()
        times.append(time.perf_counter() - start)
print("SECONDS", json.dumps(seconds))
"""


def mobilenet(size, sparsity):
    """Entry 3x3, then 13 separable blocks: the pattern that XNNPACK takes, but for the form of paddings and mean."""
    blocks = [(32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), *[(256, 1)] * 5, (512, 2), (512, 1)]
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(16, 3, strides=2, use_bias=False)(layers.ZeroPadding2D(1)(inputs))
    x = layers.ReLU(6)(layers.BatchNormalization()(x))
    for filters, stride in blocks:
        if stride == 2:
            x = layers.ZeroPadding2D(1)(x)
        padding = "same" if stride == 1 else "valid"
        x = layers.DepthwiseConv2D(3, strides=stride, padding=padding, use_bias=False)(x)
        x = layers.ReLU(6)(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU(6)(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(100)(layers.GlobalAveragePooling2D()(x)))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            _, _, channels, filters = layer.kernel.shape
            kept = (generator.random((1, 1, channels, filters // 4)) >= sparsity).repeat(4, -1)
            layer.kernel.assign(np.where(kept, generator.normal(size=kept.shape) / np.sqrt(channels), 0.0))
    return model


def emulated(paths, rounds):
    """Seconds of each file in each round."""
    command = os.environ.get("KERAS_SPARSE_ARM64RUN", "arm64run")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "times.py")
        script.write_text(TIMES)
        puts = [part for path in paths for part in ("--put", path)]
        words = [command, *puts, "--", script, rounds, *(path.name for path in paths)]
        ran = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.split("SECONDS")[1])


def main(size, rounds, path):
    samples = np.random.default_rng(1).normal(size=(4, size, size, 3)).astype(np.float32)
    files, figures = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for sparsity in track(SPARSITIES, "Exporting"):
            model = mobilenet(size, sparsity)
            for form, options in FORMS.items():
                for encoding in ("dense", options["encoding"]):
                    file = Path(folder, f"{len(files)}.tflite")
                    quantize = options["quantize"]
                    ks.export(model, file, "litert-arm64", samples, quantize=quantize, encoding=encoding)
                    files[sparsity, form, encoding == "dense"] = file
        sizes = {key: file.stat().st_size for key, file in files.items()}
        seconds = dict(zip(files, emulated(list(files.values()), rounds), strict=True))
    table = Table(
        "zeros", "scheme", "dense", "sparse", "dense / sparse, emulated", title=f"MobileNet 0.5, {size} x {size}"
    )
    for sparsity in SPARSITIES:
        base = seconds[sparsity, "float32", True]
        for form in FORMS:
            sparse = seconds[sparsity, form, False]
            # Dense int8 weights compute in int8; what is sparse computes in float, so dense float is its measure.
            dense = base if form.startswith("int8") else seconds[sparsity, form, True]
            ratio = statistics.median(a / b for a, b in zip(dense, sparse, strict=True))
            bytes_ = [sizes[sparsity, form, is_dense] for is_dense in (True, False)]
            figures.append({"zeros": sparsity, "scheme": form, "ratio": ratio, "bytes": bytes_})
            table.add_row(f"{sparsity:.0%}", form, *(f"{each / 1e6:.2f} MB" for each in bytes_), f"{ratio:.2f}x")
    Console().print(table)
    print(f"emulated Cortex-A76; medians of {rounds} rounds")
    Path(path).write_text(
        json.dumps({"machine": "emulated Cortex-A76", "rounds": rounds, "figures": figures}, indent=2)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", default="sparse_cnn_arm64.json")
    options = parser.parse_args()
    main(options.size, options.rounds, options.json)
