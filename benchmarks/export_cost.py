"""What a verified export costs, beside TensorFlow's converter alone: time and peak memory.

    python benchmarks/export_cost.py [--rounds 3] [--samples 16] [--json export_cost.json]

ResNet50 and MobileNetV2 at 224 x 224, random weights, as float32 and calibrated to int8 `.tflite` files. Each
conversion has a process of its own; memory is the peak of what it and its children hold together, seen twenty times a
second. Both sides get the same samples: the converter to calibrate, ours to calibrate, to run the file in LiteRT with
and without delegates, and to compare. Rounds are interleaved; ratios are medians of the rounds.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

MODELS = ("MobileNetV2", "ResNet50")
SCHEMES = ("float32", "int8")
EVERY = 0.05

WORK = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np, tensorflow as tf
import keras_sparse as ks
side, name, scheme, samples, path = sys.argv[1:]
keras.utils.set_random_seed(0)
model = getattr(keras.applications, name)(weights=None)
x = np.random.default_rng(0).normal(size=(int(samples), 224, 224, 3)).astype("float32")
start = time.perf_counter()
if side == "converter":
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if scheme == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([each[None]] for each in x)
    open(path, "wb").write(converter.convert())
else:
    ks.export(model, path, samples=x, quantize=None if scheme == "float32" else scheme)
print("SECONDS", time.perf_counter() - start)
"""


def resident(pid):
    """Bytes that a process and all below it hold."""
    total, pending = 0, [pid]
    while pending:
        process = Path("/proc", str(pending.pop()))
        try:
            lines = (process / "status").read_text().splitlines()
            total += next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS")), 0)
            for children in process.glob("task/*/children"):
                pending += children.read_text().split()
        except OSError:
            continue  # it ended meanwhile
    return total


def run(side, model, scheme, samples):
    """`(seconds, peak bytes)` of one conversion."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", WORK, side, model, scheme, str(samples), str(Path(folder, "m.tflite"))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        peak = 0
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            time.sleep(EVERY)
        out, err = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{side} {model} {scheme} failed: {err.strip().splitlines()[-1]}")
    return float(out.split("SECONDS")[1].split()[0]), peak


def main(rounds, samples, path):
    cases = [(model, scheme) for model in MODELS for scheme in SCHEMES]
    found = {case: {"converter": [], "export": []} for case in cases}
    total, done = rounds * len(cases) * 2, 0
    for _ in range(rounds):
        for case in cases:
            for side in ("converter", "export"):
                found[case][side].append(run(side, *case, samples))
                done += 1
                print(f"\r{done} of {total} conversions", end="", flush=True)
    print()
    table = Table(
        "model",
        "scheme",
        *(f"{what} {side}" for what in ("time,", "memory,") for side in ("converter", "export", "ratio")),
    )
    figures = []
    for (model, scheme), sides in found.items():
        pairs = list(zip(sides["converter"], sides["export"], strict=True))
        row = {"model": model, "scheme": scheme}
        for place, what in enumerate(("seconds", "bytes")):
            for side in ("converter", "export"):
                row[f"{what}_{side}"] = statistics.median(each[place] for each in sides[side])
            row[f"{what}_ratio"] = statistics.median(ours[place] / theirs[place] for theirs, ours in pairs)
        figures.append(row)
        table.add_row(
            model,
            scheme,
            *(f"{row[f'seconds_{side}']:.1f} s" for side in ("converter", "export")),
            f"{row['seconds_ratio']:.2f}x",
            *(f"{row[f'bytes_{side}'] / 1e6:.0f} MB" for side in ("converter", "export")),
            f"{row['bytes_ratio']:.2f}x",
        )
    Console().print(table)
    machine = f"{platform.machine()}, {os.cpu_count()} processors"
    print(
        f"{machine}; medians of {rounds} interleaved rounds, {samples} samples; at most 1.5x is wanted of both ratios"
    )
    Path(path).write_text(
        json.dumps({"machine": machine, "rounds": rounds, "samples": samples, "figures": figures}, indent=2)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--json", default="export_cost.json")
    options = parser.parse_args()
    main(options.rounds, options.samples, options.json)
