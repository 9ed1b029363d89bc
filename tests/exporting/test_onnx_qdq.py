"""Rewriting float weights to int8 QDQ: literal graphs, run in ONNX Runtime before and after."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.exporting import onnx_fold, onnx_qdq


def pair(name, source, scale, zero_point=0):
    tensors = [
        numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}_scale"),
        numpy_helper.from_array(np.asarray(zero_point, np.uint8), f"{name}_zero"),
    ]
    parameters = [f"{name}_scale", f"{name}_zero"]
    nodes = [
        helper.make_node("QuantizeLinear", [source, *parameters], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", *parameters], [name]),
    ]
    return nodes, tensors


def graph(middle, constants, shape, out_zero=128):
    """input -> Q/DQ -> middle (from "a" to "m") -> Q/DQ -> output."""
    before, first = pair("a", "input", 0.02, 128)
    after, last = pair("output", "m", 0.05, out_zero)
    made = helper.make_graph(
        [*before, *middle, *after],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None] * len(shape))],
        [*first, *last, *[numpy_helper.from_array(value, name) for name, value in constants.items()]],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model, x, optimize=True):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # the weights here have all 8 bits
    if not optimize:  # it rounds the float weights of a half-quantized graph to int8 by itself
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


def moved(made, model, x):
    """The largest difference in levels of the output, between the rewritten graph and the float one."""
    return np.abs(run(made, x) - run(model, x, optimize=False)).max() / 0.05


def grid(shape, axis, step=0.01):
    levels = np.random.default_rng(0).integers(-126, 127, shape)
    np.moveaxis(levels, axis, 0).reshape(shape[axis], -1)[:, 0] = 127
    return (levels * step).astype(np.float32)


def rewritten(model):
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    onnx_fold.fold(copy)
    onnx_qdq.quantize(copy.graph)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def weights_of(model):
    return [t for t in model.graph.initializer if t.data_type == TensorProto.INT8 and len(t.dims) > 1]


CONV = helper.make_node("Conv", ["a", "w"], ["c"], name="conv", kernel_shape=[3, 3])
X = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("factor", [[1.5, -0.5, 2.0, 1.0], [2.0]])
def test_a_batch_norm_is_folded_and_the_outputs_stay(factor):
    shape = (1, len(factor), 1, 1)
    constants = {
        "w": grid((4, 3, 3, 3), 0),
        "factor": np.float32(factor).reshape(shape),
        "shift": np.float32(np.arange(len(factor))).reshape(shape),
    }
    mul = helper.make_node("Mul", ["c", "factor"], ["n"], name="mul")
    add = helper.make_node("Add", ["n", "shift"], ["m"], name="add")
    model = graph([CONV, mul, add], constants, X.shape)
    made = rewritten(model)
    kinds = [node.op_type for node in made.graph.node]
    assert "Mul" not in kinds and "Add" not in kinds
    assert len(weights_of(made)) == 1
    biases = [t for t in made.graph.initializer if t.data_type == TensorProto.INT32 and "zero_point" not in t.name]
    assert len(biases) == 1
    assert moved(made, model, X) < 1.01


def test_a_matmul_with_bias_and_batch_norm_becomes_one_gemm():
    x = np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)
    constants = {
        "w": grid((6, 4), 1),
        "b": np.float32([1, 2, 3, 4]),
        "factor": np.float32([[1.5, -1, 1, 2]]),
        "shift": np.float32([0.1, 0.2, 0.3, 0.4]),
    }
    middle = [
        helper.make_node("MatMul", ["a", "w"], ["c"], name="matmul"),
        helper.make_node("Add", ["c", "b"], ["d"], name="bias"),
        helper.make_node("Mul", ["d", "factor"], ["e"], name="mul"),
        helper.make_node("Add", ["e", "shift"], ["m"], name="add"),
    ]
    model = graph(middle, constants, x.shape)
    made = rewritten(model)
    kinds = [node.op_type for node in made.graph.node]
    assert kinds.count("Gemm") == 1 and not {"MatMul", "Add", "Mul"} & set(kinds)
    assert moved(made, model, x) < 1.01


def test_an_addition_of_two_tensors_or_of_a_whole_image_is_not_folded():
    constants = {"w": grid((4, 3, 3, 3), 0), "image": np.ones((1, 1, 6, 6), np.float32)}
    add = helper.make_node("Add", ["c", "image"], ["m"], name="add")
    made = rewritten(graph([CONV, add], constants, X.shape))
    assert "Add" in [node.op_type for node in made.graph.node]


def test_a_move_has_the_range_of_its_input_again():
    constants = {"w": grid((4, 3, 3, 3), 0), "shape": np.int64([2, 3, 8, 8])}
    move = helper.make_node("Reshape", ["a", "shape"], ["r"], name="move")
    conv = helper.make_node("Conv", ["r", "w"], ["m"], name="conv", kernel_shape=[3, 3])
    made = rewritten(graph([move, conv], constants, X.shape))
    producer = {name: node.op_type for node in made.graph.node for name in node.output}
    final = next(node for node in made.graph.node if node.op_type == "Conv")
    assert [producer[name] for name in final.input] == ["DequantizeLinear"] * 2


def test_a_relu_before_a_range_that_goes_below_0_gets_its_own_range():
    constants = {"w": grid((4, 3, 3, 3), 0)}
    relu = helper.make_node("Relu", ["c"], ["m"], name="relu")
    model = graph([CONV, relu], constants, X.shape, out_zero=50)
    made = rewritten(model)
    zeros = [numpy_helper.to_array(t) for t in made.graph.initializer if t.name == "relu/zero_point"]
    assert [int(zero) for zero in zeros] == [0]
    assert moved(made, model, X) < 2  # rounded twice
    assert "relu/zero_point" not in {
        t.name for t in rewritten(graph([CONV, relu], constants, X.shape, out_zero=0)).graph.initializer
    }


def test_float_weights_stay_float():
    off_grid = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    conv = helper.make_node("Conv", ["a", "w"], ["m"], name="conv", kernel_shape=[3, 3])
    assert weights_of(rewritten(graph([conv], {"w": off_grid}, X.shape))) == []
