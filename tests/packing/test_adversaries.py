"""Files made against the packer: never larger than `xz -9e`, and what zstd can gain is bounded."""

from __future__ import annotations

import lzma
import shutil
import subprocess
import tracemalloc

import numpy as np
import pytest

from keras_sparse.packing import container
from keras_sparse.packing.pack import pack
from keras_sparse.packing.unpack import unpack

RNG = np.random.default_rng(0)
LARGE = 2**16
"""What counts as large here, so that the tests are quick."""


def sparse(count):
    values = RNG.normal(0, 40, count).astype(np.int8)
    values[RNG.random(count) < 0.9] = 0
    return values


def nearly(values):
    """A copy with some bits changed: no copy of a tensor, and all one long match to LZMA."""
    changed = values.copy()
    changed[RNG.integers(0, values.size, 9)] ^= 1
    return changed


def far_apart(values):
    return {"a": values, "b": nearly(values)}


def text():
    words = [bytes(RNG.integers(97, 123, size, dtype=np.uint8)) for size in RNG.integers(2, 9, 2000)]
    places = np.minimum(1999, RNG.pareto(1, 60_000) * 20).astype(int)
    joined = b" ".join(words[place] for place in places)
    return np.frombuffer(joined[: len(joined) // 8 * 8], np.int64)


NOISE = RNG.integers(-128, 128, 2**19, dtype=np.int8)
FILES = {
    "zeros": {"w": np.zeros((256, 4096), np.int8)},
    "zeros in a type that is no weight's": {"w": np.zeros((256, 1024), np.int64)},
    "ones": {"w": np.ones((256, 1024), np.float64)},
    "noise": {"w": NOISE},
    "noise in a type that is no weight's": {"w": NOISE.view(np.int64)},
    "little noise": {"w": NOISE[:3000]},
    "sparse weights twice, far apart": far_apart(sparse(2**18)),
    "noise twice, far apart": far_apart(NOISE),
    "one row again and again": {"w": np.tile(NOISE[:1000], 1000)},
    "large blocks again and again": {"w": np.tile(NOISE[:100_000], 5)},
    "text": {"w": text()},
    "numbers that rise": {"w": np.arange(2**17, dtype=np.int32)},
    "floats": {"w": RNG.normal(size=(128, 1024)).astype(np.float32)},
}


@pytest.fixture(autouse=True)
def large(monkeypatch):
    monkeypatch.setattr(container, "TRY_ALL", LARGE)


@pytest.mark.parametrize("name", FILES)
def test_never_larger_than_xz_and_hardly_than_zstd(onnx_file, tmp_path, name):
    path = onnx_file(**FILES[name])
    data = path.read_bytes()
    size = pack(path, tmp_path / "packed").bytes_packed
    assert size <= len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    if shutil.which("zstd"):
        zstd = len(subprocess.run(["zstd", "-19", "-c", str(path)], capture_output=True, check=True).stdout)
        # What stays: the hashes in the header, LZMA's matches of at most 273 bytes (zstd's have 64 kB), and its text.
        assert size <= 1.005 * zstd + 64 + len(data) // 4096
    unpack(tmp_path / "packed", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == data


def test_noise_is_stored_as_it_is(onnx_file, tmp_path):
    path = onnx_file(w=NOISE)
    report = pack(path, tmp_path / "packed")
    assert report.tensors[0].coding == "as it is"
    assert report.bytes_packed < path.stat().st_size + 128


def test_lzma_is_run_on_all_until_it_has_made_too_much():
    data = sparse(2**17).tobytes() * 2
    size = len(container.compress(data))
    assert container.exceeds(data, size)
    assert not container.exceeds(data, size + 1)
    assert not container.exceeds(data[:LARGE], 1)


def test_vectors_take_no_counts_for_each_item(onnx_file, tmp_path):
    path = onnx_file(w=sparse(2**20))  # counts of 256 symbols for each of 2^20 channels would be 2 GiB
    tracemalloc.start()
    pack(path, tmp_path / "packed")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**28
