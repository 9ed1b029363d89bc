"""Folding literal graphs: what they compute stays, in ONNX Runtime without its own optimizations."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.exporting.onnx_fold import fold
from keras_sparse.exporting.onnx_graph import attribute

GENERATOR = np.random.default_rng(0)


def model(nodes, constants, shape):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(proto, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def folded(nodes, constants, shape):
    """The operations that are left; the outputs are compared, for two batches."""
    before, after = model(nodes, constants, shape), model(nodes, constants, shape)
    fold(after)
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(after, strict_mode=True))
    for batch in (1, 3):
        x = GENERATOR.normal(size=(batch, *shape)).astype(np.float32)
        np.testing.assert_allclose(run(after, x), run(before, x), rtol=1e-5, atol=1e-5)
    return list(after.graph.node)


def kinds(nodes):
    return [node.op_type for node in nodes]


KERNEL = GENERATOR.normal(size=(4, 3, 3, 3)).astype(np.float32)


class TestPads:
    @given(st.lists(st.integers(0, 3), min_size=4, max_size=4), st.lists(st.integers(0, 2), min_size=4, max_size=4))
    def test_they_become_those_of_the_convolution(self, widths, own):
        top, left, bottom, right = widths
        nodes = [
            helper.make_node("Pad", ["x", "widths"], ["p"]),
            helper.make_node("Conv", ["p", "w"], ["y"], kernel_shape=[3, 3], pads=own, strides=[2, 2]),
        ]
        pads = np.int64([0, 0, top, left, 0, 0, bottom, right])
        (conv,) = folded(nodes, {"widths": pads, "w": KERNEL}, (3, 6, 5))
        assert attribute(conv, "pads") == [a + b for a, b in zip(widths, own, strict=True)]

    @pytest.mark.parametrize(
        ("widths", "value", "mode"),
        [
            ([0, 0, 1, 1, 0, 0, 1, 1], 1.5, "constant"),
            ([0, 0, 1, 1, 0, 0, 1, 1], 0.0, "reflect"),
            ([0, 1, 0, 0, 0, 0, 0, 0], 0.0, "constant"),  # a channel more
            ([0, 0, -1, 0, 0, 0, 0, 0], 0.0, "constant"),  # a crop
        ],
    )
    def test_other_ones_stay(self, widths, value, mode):
        channels = 3 + widths[1]
        nodes = [
            helper.make_node("Pad", ["x", "widths", "value"], ["p"], mode=mode),
            helper.make_node("Conv", ["p", "w"], ["y"]),
        ]
        kernel = np.ones((2, channels, 3, 3), np.float32)
        constants = {"widths": np.int64(widths), "value": np.float32(value), "w": kernel}
        assert kinds(folded(nodes, constants, (3, 6, 6))) == ["Pad", "Conv"]

    def test_one_that_others_read_too_stays(self):
        nodes = [
            helper.make_node("Pad", ["x", "widths"], ["p"]),
            helper.make_node("Conv", ["p", "w"], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["c", "p"], ["y"]),
        ]
        constants = {"widths": np.int64([0, 0, 1, 1, 0, 0, 1, 1]), "w": np.ones((3, 3, 3, 3), np.float32)}
        assert kinds(folded(nodes, constants, (3, 6, 6))) == ["Pad", "Conv", "Add"]


class TestShapes:
    def test_a_shape_that_is_computed_becomes_a_constant(self):
        nodes = [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "first"], ["batch"]),
            helper.make_node("Concat", ["batch", "rest"], ["shape"], axis=0),
            helper.make_node("Reshape", ["x", "shape"], ["y"]),
        ]
        made = folded(nodes, {"first": np.int64([0]), "rest": np.int64([24])}, (2, 3, 4))
        assert kinds(made) == ["Reshape"]

    def test_two_free_sizes_stay_computed(self):
        nodes = [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "order"], ["shape"]),
            helper.make_node("Reshape", ["x", "shape"], ["y"]),
        ]
        proto = model(nodes, {"order": np.int64([1, 0])}, ("free",))
        fold(proto)
        assert kinds(proto.graph.node) == ["Shape", "Gather", "Reshape"]

    def test_a_reshape_that_changes_nothing_goes(self):
        nodes = [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("Reshape", ["r", "same"], ["s"]),
            helper.make_node("Neg", ["s"], ["y"]),
        ]
        assert kinds(folded(nodes, {"same": np.int64([-1, 2, 3])}, (2, 3))) == ["Relu", "Neg"]
        assert "Reshape" in kinds(folded(nodes, {"same": np.int64([-1, 3, 2])}, (2, 3)))


class TestAffine:
    def test_a_dense_layer_of_many_axes_with_a_batch_norm_is_one_product_between_reshapes(self):
        nodes = [
            helper.make_node("Reshape", ["x", "rows"], ["r"]),
            helper.make_node("MatMul", ["r", "w"], ["m"]),
            helper.make_node("Reshape", ["m", "back"], ["b"]),
            helper.make_node("Add", ["b", "bias"], ["a"]),
            helper.make_node("Mul", ["a", "factor"], ["f"]),
            helper.make_node("Relu", ["f"], ["y"]),
        ]
        constants = {
            "rows": np.int64([-1, 4]),
            "back": np.int64([-1, 5, 6]),
            "w": GENERATOR.normal(size=(4, 6)).astype(np.float32),
            "bias": np.arange(6, dtype=np.float32),
            "factor": GENERATOR.normal(size=(1, 1, 6)).astype(np.float32),
        }
        assert kinds(folded(nodes, constants, (5, 4))) == ["Reshape", "Gemm", "Relu", "Reshape"]

    def test_a_product_of_many_axes_stays_a_matmul(self):
        nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["y"])]
        constants = {"w": np.ones((4, 6), np.float32), "b": np.arange(6, dtype=np.float32)}
        assert kinds(folded(nodes, constants, (5, 4))) == ["MatMul", "Add"]

    def test_a_product_with_transposed_weights_stays(self):
        nodes = [
            helper.make_node("Gemm", ["x", "w", "b"], ["m"], transB=1, alpha=0.5),
            helper.make_node("Mul", ["m", "f"], ["y"]),
        ]
        constants = {name: GENERATOR.normal(size=size).astype(np.float32) for name, size in (("b", 6), ("f", 6))}
        constants["w"] = GENERATOR.normal(size=(6, 4)).astype(np.float32)
        assert kinds(folded(nodes, constants, (4,))) == ["Gemm", "Mul"]

    def test_what_another_reads_before_the_batch_norm_is_not_folded(self):
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Mul", ["c", "f"], ["m"]),
            helper.make_node("Add", ["m", "c"], ["y"]),
        ]
        constants = {"w": KERNEL, "f": np.float32([1, 2, 3, 4]).reshape(1, 4, 1, 1)}
        assert kinds(folded(nodes, constants, (3, 6, 6))) == ["Conv", "Mul", "Add"]
