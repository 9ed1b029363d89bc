"""`pack` and `unpack` of real files."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess

import numpy as np
import pytest

from keras_sparse.packing import pack as module
from keras_sparse.packing.pack import pack
from keras_sparse.packing.unpack import unpack


def small(data):
    """The smallest that xz -9e makes of it, and zstd -19 where it is installed."""
    sizes = [len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))]
    if shutil.which("zstd"):
        sizes.append(len(subprocess.run(["zstd", "-19", "-c"], input=data, capture_output=True, check=True).stdout))
    return min(sizes)


def test_mlperf_tiny_files(shared, tmp_path):
    paths = sorted((shared / "models" / "mlperf-tiny").glob("*.tflite"))
    assert len(paths) == 3
    for path in paths:
        report = pack(path, tmp_path / "packed")
        data = path.read_bytes()
        assert unpack(tmp_path / "packed", tmp_path / "again") == len(data)
        assert (tmp_path / "again").read_bytes() == data
        assert report.bytes_packed == (tmp_path / "packed").stat().st_size <= small(data)
        large = [each for each in report.tensors if np.prod(each.shape) > 2**16]
        assert len(large) == (0 if "Resnet" in path.name else 2)
        for each in large:
            assert each.bits_per_weight <= 1.03 * each.bound


def test_onnx_and_its_report(onnx_file, sparse_int8, tmp_path):
    dense = np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32)
    path = onnx_file(sparse=sparse_int8, dense=dense, twice=sparse_int8)
    report = pack(path, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()
    sparse, floats, copy = report.tensors
    assert sparse.coding in ("non-zero flags + values", "values")
    assert 0.9 < sparse.bits_per_weight / sparse.bound < 1.03
    assert floats.coding == "4 byte planes (3 raw)"
    assert copy.coding == "copy of an equal tensor"
    assert copy.bits_per_weight == 0
    assert json.loads(json.dumps(report.to_dict()))["bytes_packed"] == report.bytes_packed
    assert "96x128" in str(report)
    assert str(tmp_path / "packed") in str(report)


def test_the_same_file_gives_the_same_bytes(onnx_file, sparse_int8, tmp_path):
    path = onnx_file(w=sparse_int8)
    pack(path, tmp_path / "one")
    pack(path, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_tensors_that_only_match_each_other_are_left_to_the_general_compressor(onnx_file, tmp_path):
    row = np.random.default_rng(0).normal(0, 20, 4000).astype(np.int8)  # each of them would be coded
    path = onnx_file(**{f"w{i}": np.concatenate([[i], row]).astype(np.int8) for i in range(9)})
    report = pack(path, tmp_path / "packed")
    assert {each.coding for each in report.tensors} == {"LZMA"}
    assert report.bytes_packed <= len(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


@pytest.mark.parametrize("name", ["model.txt", "model"])
def test_other_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"text")
    with pytest.raises(ValueError, match="was expected"):
        pack(tmp_path / name, tmp_path / "packed")
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.tflite: not a \.tflite file"):
        pack(tmp_path / "model.tflite", tmp_path / "packed")
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="Received: 0"):
        pack(tmp_path / "model.onnx", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_a_file_is_not_packed_into_itself_by_any_name(onnx_file, sparse_int8, tmp_path, monkeypatch):
    path = onnx_file(w=sparse_int8)
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    for dst in (path, path.name, tmp_path / "link", tmp_path / "hard"):
        with pytest.raises(ValueError, match="over the one it is made from"):
            pack(path, dst)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 3


def test_where_nothing_can_be_written_is_said_before_the_work(onnx_file, sparse_int8, tmp_path, monkeypatch):
    path = onnx_file(w=sparse_int8)
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(module, "choose", None)
    with pytest.raises(OSError, match="a FIFO or pipe") as caught:
        pack(path, tmp_path / "fifo")
    assert caught.value.filename == str(tmp_path / "fifo")


def test_what_does_not_come_back_is_not_written(onnx_file, sparse_int8, tmp_path, monkeypatch):
    (tmp_path / "packed").write_bytes(b"as it was")
    monkeypatch.setattr(module, "unpack_bytes", lambda packed: b"other bytes")
    with pytest.raises(RuntimeError, match="did not come back"):
        pack(onnx_file(w=sparse_int8), tmp_path / "packed")
    assert (tmp_path / "packed").read_bytes() == b"as it was"
