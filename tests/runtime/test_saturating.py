"""ONNX Runtime as on an x86-64 processor without VNNI: against such a processor, real or in qemu."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.runtime import isolated, open_session, products
from keras_sparse.runtime.saturating import Session

from ..edge.qdq_network import Network

QEMU = shutil.which("qemu-x86_64")


def integers(operation, shape, weights, data=TensorProto.UINT8, **attributes):
    """A file of one operation on integers."""
    graph = helper.make_graph(
        [helper.make_node(operation, ["x", "w"], ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", data, shape)],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def dynamic(random):
    """As export(quantize="int8-weights") writes a Dense layer, which ONNX Runtime fuses into one operation."""
    weights = random.integers(-127, 128, (48, 24)).astype(np.int8)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["scale"]),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "b"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(random.uniform(0.01, 0.02, 24).astype(np.float32), "ws"),
        numpy_helper.from_array(random.normal(size=24).astype(np.float32), "b"),
    ]
    graph = helper.make_graph(
        nodes,
        "dynamic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 48))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 24))],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def mixed(random, dtype=np.uint8):
    """Convolutions of odd and even channels, strided, dilated, grouped and depthwise, and what lies between them."""
    network = Network((1, 5, 13, 11), int(random.integers(100)), dtype, "n")
    x = network.conv(network.input, 24, (3, 3), (2, 1), (1, 0, 1, 2), zeros=0, activation="relu")
    x = network.depthwise(x, activation="relu")
    y = network.conv(x, 24, zeros=0)
    x = network.add(x, y)
    x = network.conv(x, 7, (3, 2), dilations=(2, 1), zeros=0)
    return network.model(network.conv(x, 32, zeros=0, per_channel=False, bias=False))


def matrices(random, dtype=np.uint8):
    network = Network((1, 37), int(random.integers(100)), dtype, "n")
    x = network.dense(network.input, 64, 0, activation="relu")
    x = network.dense(x, 31, 0, bias=False)
    return network.model(network.dense(x, 16, 0, transposed=True))


FILES = {"convolutions": mixed, "products": matrices, "dynamic": dynamic}


@pytest.fixture(params=FILES)
def file(request, tmp_path):
    path = tmp_path / f"{request.param}.onnx"
    path.write_bytes(FILES[request.param](np.random.default_rng(7)))
    return path


def layers(path):
    """Names of the weights whose sums can leave 16 bits, in the graph that ONNX Runtime makes of the file."""
    made = path.with_suffix(".optimized.onnx")
    isolated.optimized(path, made)
    return [products.weights(node) for node in products.overflowing(onnx.load(made).graph)]


def inputs(path, items=9, seed=1):
    (port,) = open_session(path).inputs
    return [np.random.default_rng(seed).uniform(-9, 9, (items, *port.shape[1:])).astype(np.float32)]


def same(made, wanted, name):
    """To the bit, but for floats that are scaled after the sums."""
    np.testing.assert_allclose(made, wanted, rtol=1e-6 if name == "dynamic" else 0, err_msg=name)


def test_such_a_processor_gives_the_same(file):
    if not isolated.saturates():
        pytest.skip("ONNX Runtime cuts off no sums on this processor; the test in qemu below is for such")
    made, exact = (open_session(file, engine=engine).run(inputs(file))[0] for engine in ("saturating", "exact"))
    same(made, open_session(file).run(inputs(file))[0], file.stem)
    assert (made != exact).mean() > 0.1


def test_a_processor_with_vnni_gives_other_values(file):
    if isolated.saturates():
        pytest.skip("ONNX Runtime cuts off sums on this processor itself")
    made, exact, native = (open_session(file, engine=e).run(inputs(file))[0] for e in ("saturating", "exact", None))
    np.testing.assert_array_equal(native, exact)
    assert (made != exact).mean() > 0.1


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="there is no qemu-x86_64 to emulate a processor without VNNI with")
def test_a_haswell_processor_in_qemu_gives_the_same(tmp_path):
    """The whole of ONNX Runtime there, whatever processor this is."""
    wanted, given = {}, {}
    for name, build in FILES.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(build(np.random.default_rng(7)))
        (given[name],) = inputs(path)
        (wanted[name],) = open_session(path, engine="saturating").run([given[name]])
    np.savez(tmp_path / "given.npz", **given)
    script = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "given, made = np.load('given.npz'), {}\n"
        "for name in given.files:\n"
        "    options = ort.SessionOptions(); options.intra_op_num_threads = 1\n"
        "    session = ort.InferenceSession(f'{name}.onnx', options, providers=['CPUExecutionProvider'])\n"
        "    made[name] = session.run(None, {'x': given[name]})[0]\n"
        "np.savez('made.npz', **made)\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    command = [QEMU, "-cpu", "Haswell", "-E", f"PYTHONPATH={paths}", Path(sys.executable).resolve(), "-c", script]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr[-2000:]
    with np.load(tmp_path / "made.npz") as made:
        for name, values in wanted.items():
            same(made[name], values, name)


@pytest.mark.parametrize("build", [mixed, matrices])
def test_signed_inputs_are_read_as_unsigned_ones(tmp_path, build):
    path = tmp_path / "signed.onnx"
    path.write_bytes(build(np.random.default_rng(3), np.int8))
    made, exact = (open_session(path, engine=engine).run(inputs(path))[0] for engine in ("saturating", "exact"))
    assert (made != exact).mean() > 0.1
    if isolated.saturates():
        np.testing.assert_array_equal(made, open_session(path).run(inputs(path))[0])


def test_a_sum_by_hand(tmp_path):
    path = tmp_path / "sum.onnx"
    path.write_bytes(integers("MatMulInteger", (1, 4), np.full((4, 1), 127, np.int8)))
    assert layers(path) == ["w"]
    assert Session(path).run([np.uint8([[255, 255, 255, 0]])])[0].tolist() == [[32767 + 255 * 127]]


@pytest.mark.parametrize(
    ("operation", "shape", "weights", "attributes"),
    [
        ("MatMulInteger", (1, 4), np.full((4, 2), 64, np.int8), {}),
        ("MatMulInteger", (1, 4), np.full((4, 2), 200, np.uint8), {}),
        ("MatMulInteger", (1, 1), np.full((1, 2), 127, np.int8), {}),
        ("ConvInteger", (1, 4, 3, 3), np.full((2, 4, 1, 1), 127, np.int8), {}),
    ],
    ids=["7 bits", "uint8", "one product", "ConvInteger"],
)
def test_what_no_processor_cuts_off(tmp_path, operation, shape, weights, attributes):
    path = tmp_path / "exact.onnx"
    path.write_bytes(integers(operation, shape, weights, **attributes))
    assert layers(path) == []
    x = np.full(shape, 255, np.uint8)
    wanted = 255 * weights.astype(int).sum(0 if weights.ndim == 2 else (1, 2, 3)).ravel()
    for engine in (None, "exact", "saturating"):
        made = open_session(path, engine=engine).run([x])[0]
        np.testing.assert_array_equal(made.reshape(len(wanted), -1)[:, 0], wanted, err_msg=str(engine))


def test_depthwise_convolutions_are_exact(tmp_path):
    network = Network((1, 16, 9, 9), 0, np.uint8, "n")
    path = tmp_path / "depthwise.onnx"
    path.write_bytes(network.model(network.depthwise(network.input)))
    assert np.abs(onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[2])).max() > 64
    assert layers(path) == []
    np.testing.assert_array_equal(
        *(open_session(path, engine=engine).run(inputs(path))[0] for engine in (None, "exact"))
    )


def test_several_outputs_and_those_before_the_layer(tmp_path):
    network = Network((1, 8), 2, np.uint8, "n")
    x = network.dense(network.input, 16, 0, activation="relu")
    path = tmp_path / "two.onnx"
    path.write_bytes(network.model(x, network.dense(x, 4, 0), network.input))
    made = open_session(path, engine="saturating").run(inputs(path))
    assert [each.shape for each in made] == [(9, 16), (9, 4), (9, 8)]
    if isolated.saturates():
        for a, b in zip(made, open_session(path).run(inputs(path)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_branch_is_seen_and_not_emulated(tmp_path):
    """Where each file comes from nobody knows: what cannot be judged is an error, not a guess."""
    inner = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "then",
        [],
        [helper.make_empty_tensor_value_info("y")],
    )
    graph = helper.make_graph(
        [helper.make_node("If", ["c"], ["out"], then_branch=inner, else_branch=inner)],
        "branches",
        [
            helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("x", TensorProto.UINT8, (1, 4)),
        ],
        [helper.make_empty_tensor_value_info("out")],
        [numpy_helper.from_array(np.full((4, 1), 127, np.int8), "w")],
    )
    path = tmp_path / "branches.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    assert layers(path) == ["w", "w"]
    with pytest.raises(ValueError, match="w is used in a branch or a loop"):
        Session(path)


def scaled(random):
    """A product with a factor of its own, as other exporters write it."""
    network = Network((1, 48), 3, np.uint8, "n")
    model = onnx.load_from_string(network.model(network.dense(network.input, 24, 0, transposed=True, bias=False)))
    (product,) = (node for node in model.graph.node if node.op_type == "Gemm")
    product.attribute.append(helper.make_attribute("alpha", 0.5))
    return model.SerializeToString()


def test_a_product_with_a_factor(tmp_path):
    path = tmp_path / "scaled.onnx"
    path.write_bytes(scaled(np.random.default_rng(0)))
    made, exact = (open_session(path, engine=engine).run(inputs(path))[0] for engine in ("saturating", "exact"))
    assert (made != exact).mean() > 0.1
    if isolated.saturates():
        np.testing.assert_array_equal(made, open_session(path).run(inputs(path))[0])


def test_batches_of_weights_are_seen_and_not_emulated(tmp_path):
    path = tmp_path / "batch.onnx"
    weights = np.zeros((2, 3, 4), np.int8)
    weights[0, 2], weights[1, 0] = 127, 127  # neighbours in memory, and not in a sum
    path.write_bytes(integers("MatMulInteger", (2, 5, 3), weights))
    assert layers(path) == []
    weights[1, 1] = 127
    path.write_bytes(integers("MatMulInteger", (2, 5, 3), weights))
    assert layers(path) == ["w"]
    with pytest.raises(ValueError, match="batches of weights are not emulated"):
        Session(path).run([np.full((2, 5, 3), 255, np.uint8)])
