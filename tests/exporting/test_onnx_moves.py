"""Pads and global pools of int8 values: the same values, without a way through float."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.exporting.onnx_moves import move_integers


def model(middle, constants):
    """x -> Q/DQ -> middle, from "d" to "m" -> Q/DQ -> y, zero at 100."""
    constants = {"s": np.float32(0.02), "z": np.uint8(100)} | constants
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        middle,
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["mq"]),
        helper.make_node("DequantizeLinear", ["mq", "s", "z"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2, 4, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2, None, None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def rewritten(middle, constants):
    """The rewritten nodes; the outputs are compared."""
    proto = model(middle, constants)
    before = proto.SerializeToString()
    move_integers(proto)
    onnx.checker.check_model(proto, full_check=True)
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 3)).astype(np.float32)
    outputs = [
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for each in (before, proto.SerializeToString())
    ]
    np.testing.assert_array_equal(*outputs)
    return {node.op_type: node for node in proto.graph.node}


WIDTHS = np.int64([0, 0, 1, 0, 0, 0, 2, 1])


def test_a_pad_of_zeros_pads_integers_with_the_zero_point():
    nodes = rewritten(helper.make_node("Pad", ["d", "widths"], ["m"]), {"widths": WIDTHS})
    assert list(nodes["Pad"].input) == ["q", "widths", "z"]
    nodes = rewritten(helper.make_node("Pad", ["d", "widths", "v"], ["m"]), {"widths": WIDTHS, "v": np.float32(0)})
    assert list(nodes["Pad"].input) == ["q", "widths", "z"]


@pytest.mark.parametrize(("value", "mode"), [(1.0, "constant"), (0.0, "edge")])
def test_other_pads_stay(value, mode):
    pad = helper.make_node("Pad", ["d", "widths", "v"], ["m"], mode=mode)
    nodes = rewritten(pad, {"widths": WIDTHS, "v": np.float32(value)})
    assert list(nodes["Pad"].input) == ["d", "widths", "v"]


def test_a_global_maximum_is_a_pool_of_the_whole_image():
    nodes = rewritten(helper.make_node("GlobalMaxPool", ["d"], ["m"]), {})
    assert list(nodes["MaxPool"].attribute[0].ints) == [4, 3]
