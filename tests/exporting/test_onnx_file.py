from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.exporting import onnx_file


def test_int8_constants_come_with_their_scales(files, parts):
    stored = {t.name: t for t in onnx_file.read(files[".onnx"].path).tensors}
    weights = [t for t in stored.values() if t.values.dtype == np.int8 and t.values.ndim > 1]
    assert len(weights) == len(parts.tensors)
    for tensor in weights:
        assert len(tensor.scale) == tensor.values.shape[tensor.channel_axis]
        assert not tensor.zero_point.any()


def test_int8_operations_are_told_from_float_ones(files):
    operations = onnx_file.read(files[".onnx"].path).operations
    kinds = {o.name: o.dtype for o in operations}
    assert kinds["Conv"] == kinds["Add"] == kinds["Concat"] == "int8"
    assert kinds["Softmax"] == "float32"


@pytest.mark.parametrize("content", [b"", b"\x08", b"not an onnx file at all"])
def test_what_is_no_onnx_file_is_refused(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.onnx is not an \.onnx file"):
        onnx_file.read(path)
