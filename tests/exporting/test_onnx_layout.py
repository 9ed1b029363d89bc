"""Reshapes that are transposes: exactly those, and they compute the same."""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.exporting.onnx_layout import cancel_transposes


def model(operation, shape, to):
    nodes = [helper.make_node(operation, ["x", "to"] if to is not None else ["x"], ["y"])]
    constants = [] if to is None else [numpy_helper.from_array(np.int64(to), "to")]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rewritten(operation, shape, to=None):
    """The operations that are left; the outputs are compared."""
    proto = model(operation, shape, to)
    before = proto.SerializeToString()
    cancel_transposes(proto)
    x = np.arange(2 * np.prod(shape), dtype=np.float32).reshape(2, *shape)
    outputs = [
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for each in (before, proto.SerializeToString())
    ]
    np.testing.assert_array_equal(*outputs)
    return [node.op_type for node in proto.graph.node]


@pytest.mark.parametrize("shape", list(itertools.product((1, 2, 3), repeat=3)))
def test_every_small_reshape_computes_the_same(shape):
    first, second, third = shape
    for to in ((third, first, second), (second, third, first)):
        rewritten("Reshape", shape, (-1, *to))


@pytest.mark.parametrize(
    ("operation", "shape", "to", "wanted"),
    [
        ("Reshape", (5, 7, 1), (-1, 1, 5, 7), ["Transpose"]),  # an image of one channel, to channels first
        ("Reshape", (6, 1, 1), (-1, 1, 1, 6), ["Transpose"]),  # a pooled image, to channels last
        ("Reshape", (2, 1, 2), (-1, 2, 2, 1), ["Reshape"]),  # the same sizes as a transpose, in another order
        ("Reshape", (6, 1, 1), (-1, 6), ["Transpose", "Reshape"]),
        ("Squeeze", (6, 1, 1), (2, 3), ["Transpose", "Reshape"]),
        ("Flatten", (6, 1, 1), None, ["Transpose", "Reshape"]),
        ("Reshape", (6, 2, 1), (-1, 12), ["Reshape"]),
    ],
)
def test_what_becomes_a_transpose(operation, shape, to, wanted):
    assert rewritten(operation, shape, to) == wanted
