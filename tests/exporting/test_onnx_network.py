from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from keras_sparse.exporting import onnx_network
from keras_sparse.pattern import NofM
from keras_sparse.target import named
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, FLOAT16, FLOAT32, INT8, INT8_WEIGHTS, OTHER


def test_an_int8_file_is_read_with_its_zeros(files, parts):
    found = onnx_network.read(files[".onnx"].path)
    kinds = {(each.kind, each.positions, each.rows, each.cols): each for each in found.layers}
    assert set(kinds) == {
        (CONV, 9, 8, 3), (DEPTHWISE, 1, 8, 9), (CONV, 1, 8, 8), (CONV, 1, 4, 8), (CONV, 9, 6, 8),
        (DENSE, 1, 20, 10), (DENSE, 1, 5, 20),
    }  # fmt: skip
    assert {each.scheme for each in found.layers} == {INT8}
    hidden, wanted = kinds[DENSE, 1, 20, 10], next(t for t in parts.tensors if "hidden" in t.name)
    np.testing.assert_array_equal(hidden.kept[0], wanted.dense().T != 0)


def test_two_of_four_in_the_file_is_what_tensorrt_runs(files):
    network = onnx_network.read(files[".onnx"].path)
    verdicts = dict(zip(network.layers, named("tensorrt").verdicts(network), strict=True))
    sparse = [layer for layer, verdict in verdicts.items() if verdict.kernel.startswith("sparse")]
    assert len(sparse) >= 1 and all(layer.sparsity_in(NofM(2, 4)) > 0 for layer in sparse)
    assert (CONV, 8, 8) in [(layer.kind, layer.rows, layer.cols) for layer in sparse]


def model(tmp_path, nodes, weights, **more):
    tensors = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in {"w": weights, **more}.items()]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in "xy")
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], tensors)), path)
    return onnx_network.read(path).layers


def weights(*shape, dtype="float32"):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return values  # its first weight is zero


@pytest.mark.parametrize(
    ("node", "shape", "expected"),
    [
        (("MatMul", {}), (6, 4), (DENSE, 1, 4, 6)),
        (("Gemm", {}), (6, 4), (DENSE, 1, 4, 6)),
        (("Gemm", {"transB": 1}), (4, 6), (DENSE, 1, 4, 6)),
        (("Conv", {}), (5, 4, 3, 2), (CONV, 6, 5, 4)),
        (("Conv", {"group": 5}), (5, 1, 3, 3), (DEPTHWISE, 1, 5, 9)),
        (("Conv", {"group": 2}), (6, 4, 3, 3), (OTHER, 9, 6, 4)),
        (("ConvTranspose", {}), (5, 4, 3, 3), (OTHER, 9, 4, 5)),
        (("MatMulInteger", {}), (6, 4), (DENSE, 1, 4, 6)),
    ],
)
def test_kernels_are_matrices_of_outputs_by_inputs(tmp_path, node, shape, expected):
    name, attributes = node
    kind = "int8" if "Integer" in name else "float32"
    nodes = [helper.make_node(name, ["x", "w"], ["y"], **attributes)]
    (layer,) = model(tmp_path, nodes, weights(*shape, dtype=kind))
    assert (layer.kind, layer.positions, layer.rows, layer.cols) == expected
    assert layer.zeros >= 1 and not layer.kept[0, 0, 0] and layer.type == name
    assert layer.scheme == (INT8 if "Integer" in name else FLOAT32)


def test_schemes_follow_from_what_is_before(tmp_path):
    quantized = helper.make_node("DequantizeLinear", ["w", "s"], ["wf"])
    hybrid = [quantized, helper.make_node("MatMul", ["x", "wf"], ["y"])]
    scale = {"s": np.float32(0.1)}
    (layer,) = model(tmp_path, hybrid, weights(6, 4, dtype="int8"), **scale)
    assert (layer.scheme, layer.stored.bytes) == (INT8_WEIGHTS, 24)
    inputs = [
        helper.make_node("QuantizeLinear", ["x", "s"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s"], ["d"]),
    ]
    both = [*inputs, quantized, helper.make_node("MatMul", ["d", "wf"], ["y"])]
    assert model(tmp_path, both, weights(6, 4, dtype="int8"), **scale)[0].scheme == INT8
    half = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    assert model(tmp_path, half, weights(6, 4, dtype="float16"))[0].scheme == FLOAT16


def test_weights_are_found_through_a_transpose(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    (layer,) = model(tmp_path, nodes, weights(4, 6))
    assert (layer.rows, layer.cols) == (4, 6)


def test_what_is_no_onnx_file_is_refused(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"not an onnx file at all")
    with pytest.raises(ValueError, match=r"m\.onnx is not an \.onnx file"):
        onnx_network.read(path)
