"""How long one mask update takes on the host, for as many weights as a ResNet-50 has.

    python benchmarks/mask_update.py [--weights 25500000] [--rounds 7] [--json mask_update.json]

Updates are made every hundred steps or so; patterns take turns, medians are printed.
"""

import argparse
import json
import os
import platform
import statistics
import time

import numpy as np
from rich.console import Console
from rich.table import Table

import keras_sparse as ks

PATTERNS = (ks.Unstructured(0.8), ks.NofM(2, 4), ks.Block((1, 4), 0.8), ks.Block((4, 1), 0.8))


def main(weights, rounds, path):
    rows = weights // 4608
    scores = np.abs(np.random.default_rng(0).normal(size=(1, rows, 4608)).astype(np.float32))
    seconds = {str(pattern): [] for pattern in PATTERNS}
    for _ in range(rounds):
        for pattern in PATTERNS:
            start = time.perf_counter()
            pattern.mask(scores, 1.0)
            seconds[str(pattern)].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    table = Table(title=f"one mask of {scores.size:,} weights, {platform.processor() or platform.machine()}")
    for column in ("pattern", "median s"):
        table.add_column(column)
    for name, median in medians.items():
        table.add_row(name, f"{median:.2f}")
    Console().print(table)
    with open(path, "w") as file:
        json.dump({"weights": scores.size, "cores": os.cpu_count(), "median_seconds": medians}, file, indent=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=int, default=25_500_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", default="mask_update.json")
    options = parser.parse_args()
    main(options.weights, options.rounds, options.json)
