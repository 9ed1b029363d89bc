"""`unpack`: nothing is written of a damaged file."""

from __future__ import annotations

import pytest
from keras_sparse_edge import PackedError

from keras_sparse.packing.pack import pack
from keras_sparse.packing.unpack import unpack


def test_a_damaged_file_is_named_and_leaves_the_old_one(onnx_file, sparse_int8, tmp_path):
    pack(onnx_file(w=sparse_int8), tmp_path / "packed")
    data = bytearray((tmp_path / "packed").read_bytes())
    data[-1] ^= 1
    (tmp_path / "packed").write_bytes(data)
    (tmp_path / "again.onnx").write_bytes(b"as it was")
    with pytest.raises(PackedError, match=r"packed: the file is damaged or cut"):
        unpack(tmp_path / "packed", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == b"as it was"
    with pytest.raises(FileNotFoundError):
        unpack(tmp_path / "none", tmp_path / "again.onnx")


def test_a_packed_file_is_not_replaced_by_its_original(onnx_file, sparse_int8, tmp_path):
    pack(onnx_file(w=sparse_int8), tmp_path / "packed")
    (tmp_path / "link").symlink_to("packed")
    before = (tmp_path / "packed").read_bytes()
    for dst in (tmp_path / "packed", tmp_path / "link"):
        with pytest.raises(ValueError, match="over the one it is made from"):
            unpack(tmp_path / "packed", dst)
    assert (tmp_path / "packed").read_bytes() == before
