"""How long a packed file of as many int8 weights as a ResNet-50 has takes to come back, on one core.

    python benchmarks/packed_decode.py [--rounds 5] [--json packed_decode.json]

The weights are normal, each output channel filling its range, in the shapes of ResNet-50; the bar is 5 seconds.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time

import numpy as np
import onnx
from keras_sparse_edge import read_packed
from rich.console import Console
from rich.table import Table

import keras_sparse as ks

PATTERNS = {"dense": None, "80 %": ks.Unstructured(0.8), "90 %": ks.Unstructured(0.9), "2:4": ks.NofM(2, 4)}


def shapes():
    """(outputs, inputs) of the convolutions, with their positions among the inputs, and of the last layer."""
    yield 64, 3 * 49
    channels = 64
    for blocks, middle in ((3, 64), (4, 128), (6, 256), (3, 512)):
        for block in range(blocks):
            yield from ((middle, channels), (middle, 9 * middle), (4 * middle, middle))
            if block == 0:
                yield 4 * middle, channels
            channels = 4 * middle
    yield 1000, 2048


def weights(pattern, rng):
    for shape in shapes():
        values = rng.normal(size=shape).astype(np.float32)
        if pattern is not None:
            values *= pattern.mask(np.abs(values)[None], 1.0)[0]
        levels = np.rint(values / np.maximum(np.abs(values).max(1, keepdims=True), 1e-9) * 127)
        yield np.where((levels == 0) & (values != 0), np.sign(values), levels).astype(np.int8)


def write(path, pattern):
    tensors = [
        onnx.numpy_helper.from_array(values, f"w{i}")
        for i, values in enumerate(weights(pattern, np.random.default_rng(0)))
    ]
    nodes = [onnx.helper.make_node("Identity", [t.name], [f"{t.name}_out"]) for t in tensors]
    outputs = [onnx.helper.make_tensor_value_info(f"{t.name}_out", t.data_type, list(t.dims)) for t in tensors]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "weights", [], outputs, tensors)), path)
    return sum(int(np.prod(t.dims)) for t in tensors)


def main(rounds, path):
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, pattern in PATTERNS.items():
            source, packed = os.path.join(folder, "model.onnx"), os.path.join(folder, "model.pack")
            count = write(source, pattern)
            start = time.perf_counter()
            report = ks.pack(source, packed)
            packing, seconds = time.perf_counter() - start, []
            for _ in range(rounds):
                start = time.perf_counter()
                read_packed(packed)
                seconds.append(time.perf_counter() - start)
            row = {"pattern": name, "weights": count, "bytes": report.bytes, "packed": report.bytes_packed}
            rows.append({**row, "pack_seconds": packing, "median_seconds": statistics.median(seconds)})
    table = Table(title=f"{rows[0]['weights']:,} weights, one core of {platform.processor() or platform.machine()}")
    for column in ("pattern", "raw", "packed", "pack s", "unpack, median s"):
        table.add_column(column, justify="left" if column == "pattern" else "right")
    for row in rows:
        sizes = f"{row['bytes']:,}", f"{row['packed']:,}"
        table.add_row(row["pattern"], *sizes, f"{row['pack_seconds']:.0f}", f"{row['median_seconds']:.2f}")
    Console().print(table)
    with open(path, "w") as file:
        json.dump({"machine": platform.platform(), "rounds": rounds, "results": rows}, file, indent=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", default="packed_decode.json")
    options = parser.parse_args()
    main(options.rounds, options.json)
