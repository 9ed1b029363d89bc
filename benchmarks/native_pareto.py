"""What zero blocks cost in accuracy, and what they buy with the native kernels: Fashion-MNIST, a DS-CNN, several seeds.

    python benchmarks/native_pareto.py --data DIR [--seeds 3] [--epochs 12] [--json native_pareto.json]

Each seed trains a dense network, then from it one for each pattern (1x4 blocks, unstructured) and sparsity, in int8, as
many epochs again; "dense int8" is the same with no zeros, so that all have trained as long. Every file is timed with
`ks.delegate()` and compared with XNNPACK's dense kernels, interleaved, one thread. DIR holds the four IDX files,
gzipped or plain. Prints a table and draws accuracy over latency beside the JSON.
"""

import argparse
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from matplotlib import pyplot as plt
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse as ks

SPARSITIES = (0.75, 0.8, 0.9)
PATTERNS = {"1x4 blocks": lambda s: ks.Block((1, 4), s), "unstructured": ks.Unstructured}
BATCH = 128
DENSE_RATE, SPARSE_RATE = 3e-3, 2.5e-3
BLOCKS = ((80, 2), (120, 1), (160, 2), (160, 1))
"""(output channels, stride) of the depthwise-separable blocks, times the width."""


def network(width):
    def convolution(x, layer):
        if layer.strides != (1, 1):
            x = layers.ZeroPadding2D(1)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layer(x)))

    def strided(stride):
        return {"strides": stride, "padding": "same" if stride == 1 else "valid", "use_bias": False}

    image = keras.Input((28, 28, 1), name="image")
    x = convolution(image, layers.Conv2D(40 * width, 3, **strided(2), name="entry"))
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        x = convolution(x, layers.DepthwiseConv2D(3, **strided(stride), name=f"dw{number}"))
        x = convolution(x, layers.Conv2D(channels * width, 1, use_bias=False, name=f"pw{number}"))
    x = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(image, layers.Dense(10, name="logits")(layers.Dropout(0.2)(x)), name="ds_cnn")


def idx(folder, name):
    packed = Path(folder, f"{name}.gz")
    data = gzip.decompress(packed.read_bytes()) if packed.is_file() else Path(folder, name).read_bytes()
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def images(folder, train):
    found = []
    for split, count in (("train", train), ("t10k", None)):
        x = idx(folder, f"{split}-images-idx3-ubyte")[:count, ..., None].astype(np.float32) / 255
        found += [x, idx(folder, f"{split}-labels-idx1-ubyte")[:count]]
    return found


def fit(model, x, y, epochs, rate, callbacks=()):
    steps = -(-len(x) // BATCH) * epochs
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[*callbacks], verbose=0)


def recipe(pattern):
    ramp = ks.Cubic(begin=0.0, end=0.5, every=50)
    zeros = [] if pattern is None else [ks.Prune(pattern, ramp, match="pw*/kernel")]
    return ks.Recipe([*zeros, ks.Quantize(begin=0.6, freeze=0.9)])


def load(path, native):
    made = Interpreter(str(path), num_threads=1, experimental_delegates=[ks.delegate()] if native else None)
    made.allocate_tensors()
    return made


def accuracy(path, x, y):
    made = load(path, native=True)
    (given,), (out,) = made.get_input_details(), made.get_output_details()
    right = 0
    for image, label in zip(x, y, strict=True):
        made.set_tensor(given["index"], image[None])
        made.invoke()
        right += int(made.get_tensor(out["index"]).argmax() == label)
    return right / len(x)


def latencies(files, rounds):
    """Median seconds of each file, and how many times faster than the first: `files` is {name: (path, native)}."""
    loaded = {name: load(*each) for name, each in files.items()}
    seconds = {name: [] for name in files}
    for _ in range(rounds):
        for name, made in loaded.items():
            made.invoke()  # what the others left in the caches is not counted
            start = time.perf_counter()
            for _ in range(20):
                made.invoke()
            seconds[name].append((time.perf_counter() - start) / 20)
    first = seconds[next(iter(files))]
    return {
        name: (statistics.median(times), statistics.median(a / b for a, b in zip(first, times, strict=True)))
        for name, times in seconds.items()
    }


def measured(options, folder):
    """One row for each seed and network."""
    x, y, x_test, y_test = images(options.data, options.train)
    cases = {"dense int8": None}
    cases |= {f"{name} {s:.0%}": make(s) for s in SPARSITIES for name, make in PATTERNS.items()}
    rows, work = [], [(seed, name) for seed in range(options.seeds) for name in ("dense", *cases)]
    dense = None
    files = {}
    for seed, name in track(work, "training", console=Console(stderr=True)):
        if name == "dense":
            keras.utils.set_random_seed(seed)
            dense = network(options.width)
            fit(dense, x, y, options.epochs, DENSE_RATE)
            files = {}
            continue
        rules = recipe(cases[name])
        model = ks.prepare(dense, rules)
        fit(model, x, y, options.epochs, SPARSE_RATE, [ks.Sparsify(rules)])
        path = Path(folder, f"{seed}-{len(files)}.tflite")
        ks.export(model, path, samples=x[:256])
        files[name] = (path, name != "dense int8")
        rows.append({"seed": seed, "network": name, "accuracy": accuracy(path, x_test, y_test)})
        if len(files) == len(cases):
            found = latencies(files, options.rounds)
            for row in rows[-len(cases) :]:
                row["seconds"], row["ratio"] = found[row["network"]]
    return rows


def summary(rows):
    """{network: (mean accuracy, its range, median seconds, median ratio)}."""
    made = {}
    for name in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == name]
        right = [row["accuracy"] for row in mine]
        seconds, ratio = (statistics.median(row[key] for row in mine) for key in ("seconds", "ratio"))
        made[name] = (statistics.mean(right), (min(right), max(right)), seconds, ratio)
    return made


def plot(found, path):
    figure, axes = plt.subplots(figsize=(6.4, 4.2), constrained_layout=True)
    series = {label: [n for n in found if n.startswith(label)] for label in ("dense int8", *PATTERNS)}
    for (label, names), marker in zip(series.items(), "so^", strict=True):
        at = [1e6 * found[name][2] for name in names]
        mean = [100 * found[name][0] for name in names]
        reach = [[100 * abs(found[n][0] - found[n][1][end]) for n in names] for end in (0, 1)]
        axes.errorbar(at, mean, yerr=reach, marker=marker, capsize=3, label=label, linewidth=1)
        for name, x, y in zip(names, at, mean, strict=True):
            axes.annotate(name.removeprefix(label).strip(), (x, y), xytext=(5, 5), textcoords="offset points")
    axes.set_xlabel("latency of one image, one thread (us)")
    axes.set_ylabel("accuracy (%), mean and range of the seeds")
    axes.legend()
    figure.savefig(path, dpi=150)


def main(options):
    with tempfile.TemporaryDirectory() as folder:
        rows = measured(options, folder)
    found = summary(rows)
    table = Table("network", "accuracy", "lowest", "highest", "us", "against dense int8")
    for name, (mean, (low, high), seconds, ratio) in found.items():
        table.add_row(
            name, *(f"{100 * each:.2f} %" for each in (mean, low, high)), f"{1e6 * seconds:.1f}", f"{ratio:.2f}x"
        )
    Console(width=100).print(table)
    machine = f"{platform.machine()}, {os.cpu_count()} processors"
    print(f"{machine}; {options.seeds} seeds, {options.epochs} + {options.epochs} epochs, width {options.width}")
    path = Path(options.json)
    path.write_text(json.dumps({"machine": machine, **vars(options), "rows": rows}, indent=2))
    plot(found, path.with_suffix(".png"))
    print(path, path.with_suffix(".png"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--train", type=int, help="training images; all by default")
    parser.add_argument("--width", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", default="native_pareto.json")
    main(parser.parse_args())
