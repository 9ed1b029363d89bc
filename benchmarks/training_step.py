"""What pruning and quantization-aware training add to a training step.

    python benchmarks/training_step.py [--rounds 15] [--json training_step.json]

Three models of the same network train side by side, a few steps each in turn: as it is, with masks at 80 %, and with
masks and int8 fake quantization. Prints the median step of each and the median ratio, round by round, to the first.
"""

import argparse
import json
import os
import platform
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from rich.console import Console
from rich.table import Table

import keras_sparse as ks

STEPS = 20
BATCH = 64


def build():
    inputs = keras.Input((28, 28, 1))
    x = inputs
    for index, channels in enumerate((40, 80, 80)):
        x = layers.Conv2D(channels, 3, strides=1 + index % 2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


class Timer(keras.callbacks.Callback):
    """Seconds of each round of STEPS steps, waiting for the other models between rounds."""

    def __init__(self, model, recipe, x, y):
        super().__init__()
        self.seconds = []
        callbacks = [ks.Sparsify(recipe, partial=True)] if recipe else []
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=False)
        self.fit = lambda: model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0, callbacks=[*callbacks, self])

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 1:  # the first step traces
            self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if batch == STEPS:
            self.seconds.append((time.perf_counter() - self.start) / STEPS)


def main(rounds, path):
    generator = np.random.default_rng(0)
    x = generator.random(((STEPS + 1) * BATCH, 28, 28, 1), dtype=np.float32)
    y = generator.integers(0, 10, len(x))
    prune = ks.Prune(ks.Unstructured(0.8), ks.OneShot(at=0))
    recipes = {
        "dense": None,
        "masks at 80 %": ks.Recipe([prune]),
        "masks and int8": ks.Recipe([prune, ks.Quantize(begin=0)]),
    }
    timers = {}
    for name, recipe in recipes.items():
        model = build() if recipe is None else ks.prepare(build(), recipe)
        timers[name] = Timer(model, recipe, x, y)
    for done in range(rounds):
        for timer in timers.values():
            timer.fit()
        print(f"\rround {done + 1} of {rounds}", end="", flush=True)
    print()
    base = timers["dense"].seconds
    figures = {
        name: {
            "median_ms": 1e3 * statistics.median(timer.seconds),
            "ratio": statistics.median(a / b for a, b in zip(timer.seconds, base, strict=True)),
        }
        for name, timer in timers.items()
    }
    table = Table(title=f"one training step, batch {BATCH}, {platform.processor() or platform.machine()}")
    for column in ("variant", "median ms", "against dense"):
        table.add_column(column)
    for name, each in figures.items():
        table.add_row(name, f"{each['median_ms']:.1f}", f"{each['ratio']:.2f}x")
    Console().print(table)
    with open(path, "w") as file:
        json.dump({"rounds": rounds, "cores": os.cpu_count(), "variants": figures}, file, indent=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", default="training_step.json")
    options = parser.parse_args()
    main(options.rounds, options.json)
