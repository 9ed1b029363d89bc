"""What zero blocks cost in accuracy, and what they buy with the native kernels: the demo's model and Fashion-MNIST.

    python benchmarks/native_pareto.py --data DIR [--seeds 0 1 2] [--epochs 12] [--files DIR] [--json FILE]

Each seed trains a dense network, then from it one for each pattern (1x4 blocks, unstructured) and sparsity, in int8, as
many epochs again, in the demo's way; "dense int8" is the same with no zeros, so that all have trained as long. Accuracy
is that of the file on the whole test set. Every file is timed with `ks.delegate()` and compared with XNNPACK's dense
kernels, interleaved, one thread. `--data` holds the four IDX files; `--files` keeps what was trained, so that a run may
be interrupted, and seeds trained by several processes. Prints a table and draws accuracy over latency beside the JSON.
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
import matplotlib as mpl

mpl.use("Agg")
from ai_edge_litert.interpreter import Interpreter
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

import keras_sparse as ks
from keras_sparse.demo import data, training
from keras_sparse.demo.progress import Steps

# The demo trains in smaller batches since; the figures in docs/native-kernels.md are of these.
training.BATCH, training.DENSE_RATE, training.SPARSE_RATE = 128, 3e-3, 2.5e-3

SPARSITIES = (0.75, 0.8, 0.9)
PATTERNS = {"1x4 blocks": lambda s: ks.Block((1, 4), s), "unstructured": ks.Unstructured}
CASES = {"dense int8": None} | {f"{name} {s:.0%}": make(s) for s in SPARSITIES for name, make in PATTERNS.items()}


def recipe(pattern, steps):
    """The demo's, with another pattern or none."""
    rules = training.recipe(steps)
    prune = [] if pattern is None else [ks.Prune(pattern, each.schedule, match=each.match) for each in rules.prune]
    return ks.Recipe([*prune, rules.quantize])


def train(folder, options, steps):
    """Writes into the folder what it does not yet hold: for each seed the dense network and a file for each case."""
    images = training.Images.of(data.load(options.data), options.train)
    total = images.steps * options.epochs
    for seed in options.seeds:
        baseline = folder / f"{seed}.keras"
        if not baseline.is_file():
            steps.step(f"seed {seed}: dense float")
            keras.utils.set_random_seed(seed)
            training.dense(images, len(data.LABELS), options.epochs, steps)[0].save(baseline)
        for name, pattern in CASES.items():
            path = folder / f"{seed} {name}.tflite"
            if not path.is_file():
                steps.step(f"seed {seed}: {name}")
                keras.utils.set_random_seed(seed)
                dense = keras.saving.load_model(baseline)
                model, _ = training.sparse(dense, recipe(pattern, total), images, options.epochs, steps)
                ks.export(model, path, samples=images.x_train[:256])


def load(path, native):
    made = Interpreter(str(path), num_threads=1, experimental_delegates=[ks.delegate()] if native else None)
    made.allocate_tensors()
    return made


def accuracy(path, images):
    made = load(path, native=True)
    (given,), (out,) = made.get_input_details(), made.get_output_details()
    right = 0
    for image, label in zip(images.x_test, images.y_test, strict=True):
        made.set_tensor(given["index"], image[None])
        made.invoke()
        right += int(made.get_tensor(out["index"]).argmax() == label)
    return right / len(images.y_test)


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


def measured(folder, options):
    """One row for each seed and network."""
    images = training.Images.of(data.load(options.data), train=0)
    rows = []
    for seed in options.seeds:
        files = {name: (folder / f"{seed} {name}.tflite", pattern is not None) for name, pattern in CASES.items()}
        times = latencies(files, options.rounds)
        for name, (path, _) in files.items():
            found = {"accuracy": accuracy(path, images), **dict(zip(("seconds", "ratio"), times[name], strict=True))}
            rows.append({"seed": seed, "network": name, **found})
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
    points = sorted((seconds, mean) for mean, _, seconds, _ in found.values())
    # Latencies within a hundredth are one.
    front = [(s, mean) for s, mean in points if all(mean >= other for t, other in points if t <= 1.01 * s)]
    line = {"color": "0.8", "linewidth": 6, "solid_capstyle": "round", "label": "Pareto front"}
    axes.plot([1e6 * seconds for seconds, _ in front], [100 * mean for _, mean in front], **line)
    series = {label: [n for n in found if n.startswith(label)] for label in ("dense int8", *PATTERNS)}
    for (label, names), marker in zip(series.items(), "so^", strict=True):
        at = [1e6 * found[name][2] for name in names]
        mean = [100 * found[name][0] for name in names]
        reach = [[100 * abs(found[n][0] - found[n][1][end]) for n in names] for end in (0, 1)]
        axes.errorbar(at, mean, yerr=reach, marker=marker, capsize=3, label=label, linewidth=1)
        for name, x, y in zip(names, at, mean, strict=True):
            axes.annotate(name.removeprefix(label).strip(), (x, y), xytext=(5, 5), textcoords="offset points")
    axes.margins(0.1)
    axes.set_xlabel("latency of one image, one thread (us)")
    axes.set_ylabel("accuracy (%), mean and range of the seeds")
    axes.legend()
    figure.savefig(path, dpi=150)


def main(options):
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.files or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        train(folder, options, Steps(Console(stderr=True), len(options.seeds) * (1 + len(CASES))))
        rows = measured(folder, options)
    found = summary(rows)
    table = Table("network", "accuracy", "lowest", "highest", "us", "against dense int8")
    for name, (mean, (low, high), seconds, ratio) in found.items():
        table.add_row(
            name, *(f"{100 * each:.2f} %" for each in (mean, low, high)), f"{1e6 * seconds:.1f}", f"{ratio:.2f}x"
        )
    Console(width=100).print(table)
    machine = f"{platform.machine()}, {os.cpu_count()} processors"
    print(f"{machine}; {len(options.seeds)} seeds, {options.epochs} + {options.epochs} epochs")
    content = {"machine": machine, "epochs": options.epochs, "rounds": options.rounds, "rows": rows}
    options.json.write_text(json.dumps(content, indent=2))
    plot(found, options.json.with_suffix(".svg"))
    print(options.json, options.json.with_suffix(".svg"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--train", type=int, help="training images; all by default")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--files", type=Path, help="folder for the trained files; by default they are not kept")
    parser.add_argument("--json", type=Path, default=Path("native_pareto.json"))
    main(parser.parse_args())
