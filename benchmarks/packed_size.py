"""How small model files become: raw, gzip, xz -9e, zstd -19 (where it is installed), packed, against the bound.

    python benchmarks/packed_size.py FILE... [--json packed_size.json]

Files are .tflite or .onnx, for example the demo's and those of MLPerf Tiny. The bound is that of their large tensors,
over 64 k weights: the positions of non-zeros and the empirical entropy of the values, in bits per weight.
"""

import argparse
import gzip
import json
import lzma
import math
import os
import shutil
import subprocess
import tempfile

from rich.console import Console
from rich.table import Table

import keras_sparse as ks

LARGE = 2**16


def measure(path):
    with open(path, "rb") as file:
        data = file.read()
    with tempfile.TemporaryDirectory() as folder:
        report = ks.pack(path, os.path.join(folder, "packed"))
    large = [t for t in report.tensors if t.bits_per_weight is not None and math.prod(t.shape) > LARGE]
    weights = sum(math.prod(t.shape) for t in large)
    bits, bound = (sum(getattr(t, n) * math.prod(t.shape) for t in large) for n in ("bits_per_weight", "bound"))
    zstd = None
    if shutil.which("zstd"):
        zstd = len(subprocess.run(["zstd", "-19", "-c", path], capture_output=True, check=True).stdout)
    return {
        "file": path,
        "raw": len(data),
        "gzip": len(gzip.compress(data, 9, mtime=0)),
        "xz": len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)),
        "zstd": zstd,
        "packed": report.bytes_packed,
        "large_weights": weights,
        "bits_per_weight": bits / weights if weights else None,
        "bound": bound / weights if weights else None,
    }


def main(files, path):
    rows = [measure(file) for file in files]
    table = Table(title="bytes; bits per weight of tensors over 64 k weights")
    for column in ("file", "raw", "gzip -9", "xz -9e", "zstd -19", "packed", "against xz", "bits", "bound"):
        table.add_column(column, justify="left" if column == "file" else "right")
    for row in rows:
        sizes = ["-" if row[key] is None else f"{row[key]:,}" for key in ("raw", "gzip", "xz", "zstd", "packed")]
        bits = ["-" if row[key] is None else f"{row[key]:.3f}" for key in ("bits_per_weight", "bound")]
        table.add_row(os.path.basename(row["file"]), *sizes, f"{100 * (row['packed'] / row['xz'] - 1):+.1f} %", *bits)
    Console(width=140).print(table)
    with open(path, "w") as file:
        json.dump(rows, file, indent=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--json", default="packed_size.json")
    options = parser.parse_args()
    main(options.files, options.json)
