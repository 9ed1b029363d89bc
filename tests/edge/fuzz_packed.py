"""Fuzzes the reader of packed files: no crash, no hang, no memory over its bound, nothing but PackedError or data.

    pip install atheris
    python tests/edge/fuzz_packed.py -runs=200000 -max_len=4096

Coverage guides it (atheris, libFuzzer). Inputs get the check that they must have, so that all of the reader is reached.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import tracemalloc
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "edge"), str(ROOT / "tests" / "edge")]
MAX_SIZE = 2**16  # bytes of an original: larger ones are slower, not different
ALLOWED = 4 * MAX_SIZE + 8 * 2**20  # bytes at once

with atheris.instrument_imports(include=["keras_sparse_edge"]):
    from keras_sparse_edge.errors import PackedError
    from keras_sparse_edge.packed import HEADER, digest, unpack_bytes


def read(data: bytes) -> None:
    """What libFuzzer calls; whatever it raises is a finding."""
    if len(data) >= HEADER.size:
        data = data[:9] + digest(data[:9], data[25:]) + data[25:]
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    with contextlib.suppress(PackedError):
        unpack_bytes(data, MAX_SIZE)
    _, peak = tracemalloc.get_traced_memory()
    if peak - before > ALLOWED:
        raise MemoryError(f"{peak - before} bytes were held at once; at most {ALLOWED} are allowed")


def main() -> None:
    tracemalloc.start()
    with tempfile.TemporaryDirectory() as corpus:
        seed = ROOT / "tests" / "edge" / "packed_seed.pack"
        (Path(corpus) / seed.name).write_bytes(seed.read_bytes())
        # the process itself grows by some kilobytes each run, which atheris keeps; the reader is measured above
        limits = ["-timeout=20", "-rss_limit_mb=0", f"-artifact_prefix={tempfile.gettempdir()}/"]
        atheris.Setup([sys.argv[0], corpus, *limits, *sys.argv[1:]], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
