"""Where constants of .onnx files lie."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.exporting.onnx_spans import spans


def model(*tensors):
    nodes = [helper.make_node("Identity", [t.name], [f"{t.name}_out"]) for t in tensors]
    outputs = [helper.make_tensor_value_info(f"{t.name}_out", t.data_type, list(t.dims)) for t in tensors]
    return helper.make_model(helper.make_graph(nodes, "g", [], outputs, list(tensors)))


def test_spans_hold_the_values():
    rng = np.random.default_rng(0)
    values = {
        "a": rng.normal(size=(3, 4)).astype(np.float32),
        "same": np.zeros((5, 7), np.int8),
        "same again": np.zeros((5, 7), np.int8),
        "half": rng.normal(size=(2, 2)).astype(np.float16),
        "other": np.arange(5),
    }
    listed = helper.make_tensor("as a list", TensorProto.FLOAT, [2], [1.0, 2.0])
    data = model(*(numpy_helper.from_array(v, n) for n, v in values.items()), listed).SerializeToString()
    found = spans(data)
    assert [(span.name, span.dtype) for span in found] == [
        ("a", "float32"),
        ("same", "int8"),
        ("same again", "int8"),
        ("half", "float16"),
        ("other", "other"),
    ]
    end = 0
    for span in found:
        assert span.start >= end
        end = span.start + span.bytes
        assert data[span.start : end] == values[span.name].tobytes()
        assert span.shape == values[span.name].shape


def test_weights_in_other_files_are_refused():
    tensor = numpy_helper.from_array(np.zeros(300, np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, "w.bin")
    tensor.ClearField("raw_data")
    with pytest.raises(ValueError, match=r"must hold its weights itself\. Received: 'w' in another file"):
        spans(model(tensor).SerializeToString())


@pytest.mark.parametrize("data", [b"no model", b""])
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(ValueError, match=r"not an \.onnx file"):
        spans(data)
