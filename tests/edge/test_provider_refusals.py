"""Graphs that the provider leaves to ONNX Runtime as a whole or in part: outputs are the same in each."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from .native import families
from .onnx_sessions import claimed, random_input, run, session
from .qdq_network import Network

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")


def claims(file):
    """Operations that are claimed, of those that can be; checks the outputs."""
    plain, made = session(file, provider=False), session(file, threshold=0, kernels=FAMILIES[0])
    x = random_input(plain, 2)
    for found, wanted in zip(run(made, x), run(plain, x), strict=True):
        np.testing.assert_array_equal(found, wanted)
    kinds = ("Conv", "Gemm", "MatMul")
    return [[kind for kind in part if kind in kinds] for part in claimed(made)]


def changed(file, change):
    model = onnx.load_from_string(file)
    change(model.graph)
    return model.SerializeToString()


def node(graph, kind, place=0):
    return [each for each in graph.node if each.op_type == kind][place]


def put(graph, name, value):
    """Gives the constant another value."""
    (old,) = [each for each in graph.initializer if each.name == name]
    old.CopyFrom(numpy_helper.from_array(np.asarray(value), name))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel": (3, 3), "dilations": (2, 2)},
        {"activation": "relu", "zero_point": 3},  # negative outputs would be cut off by the activation only
        {"activation": "relu6", "zero_point": 3},
    ],
)
def test_a_convolution_that_is_left_alone(options):
    network = Network((2, 16, 9, 8))
    assert claims(network.model(network.conv(network.input, 12, **options))) == []


def test_groups():
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12))

    def split(graph):
        conv = node(graph, "Conv")
        weights = node(graph, "DequantizeLinear", 1).input[0]
        put(graph, weights, np.ones((12, 8, 1, 1), np.int8))
        conv.attribute.append(helper.make_attribute("group", 2))

    assert claims(changed(file, split)) == []


def test_padding_that_is_found_by_the_shape():
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12, (3, 3), pads=(1, 1, 1, 1)))

    def same(graph):
        conv = node(graph, "Conv")
        del conv.attribute[[each.name for each in conv.attribute].index("pads")]
        conv.attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))

    assert claims(changed(file, same)) == []


@pytest.mark.parametrize("zero_point", [0, 5])
def test_weights_around_another_value_than_zero(zero_point):
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12, per_channel=False))
    move = lambda graph: put(graph, node(graph, "DequantizeLinear", 1).input[2], np.int8(zero_point))  # noqa: E731
    assert claims(changed(file, move)) == ([["Conv"]] if zero_point == 0 else [])


@pytest.mark.parametrize("zero_point", [128, 120])
def test_weights_of_uint8(zero_point):
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12, per_channel=False))

    def unsigned(graph):
        inputs = node(graph, "DequantizeLinear", 1).input
        values = next(numpy_helper.to_array(each) for each in graph.initializer if each.name == inputs[0])
        put(graph, inputs[0], (values.astype(int) + 128).astype(np.uint8))
        put(graph, inputs[2], np.uint8(zero_point))

    assert claims(changed(file, unsigned)) == ([["Conv"]] if zero_point == 128 else [])


def test_scales_of_the_bias_are_those_of_the_products():
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12))
    wrong = lambda graph: put(graph, node(graph, "DequantizeLinear", 2).input[1], np.full(12, 1e-3, np.float32))  # noqa: E731
    found = session(changed(file, wrong), threshold=0, kernels=FAMILIES[0])
    assert claimed(found) == []


def test_a_tensor_without_zero_point():
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12, zero_point=0))

    def drop(graph):
        for each in (node(graph, "QuantizeLinear", -1), node(graph, "DequantizeLinear", -1)):
            del each.input[2]

    assert claims(changed(file, drop)) == [["Conv"]]


def test_weights_that_are_an_input():
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12))

    def enter(graph):
        name = node(graph, "DequantizeLinear", 1).input[0]
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT8, (12, 16, 1, 1)))

    made = session(changed(file, enter), threshold=0, kernels=FAMILIES[0])
    assert claimed(made) == []


def test_what_other_nodes_read_is_theirs():
    """Sums, dequantized inputs and outputs that are read elsewhere, too: nothing is missing for the others."""
    network = Network((2, 16, 9, 8))
    first = network.conv(network.input, 12, activation="relu")
    second = network.conv(first, 12)
    outer = network.dequantize(first)
    file = network.model(second, first)

    def expose(graph):
        graph.output.append(helper.make_tensor_value_info(outer, TensorProto.FLOAT, None))
        graph.output.append(helper.make_tensor_value_info(node(graph, "Conv", 1).output[0], TensorProto.FLOAT, None))

    assert claims(file) == [["Conv", "Conv"]]
    assert claims(changed(file, expose)) == [["Conv"]]


def test_a_way_around_splits_the_partition():
    """first -> pooling -> second, and first -> second's sum: one node of all would have to wait for itself."""
    network = Network((2, 16, 9, 8))
    first = network.conv(network.input, 16, activation="relu")
    raw = network.node("MaxPool", [network.dequantize(first)], kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    pooled = network.quantize(raw, network.numbers[first][0], 0, network.shapes[first])
    second = network.conv(pooled, 16)
    beside = network.conv(first, 16)
    total = network.add(second, beside)
    found = claims(network.model(network.conv(total, 8), second))
    assert sorted(found) == [["Conv"], ["Conv"], ["Conv", "Conv"]]


def test_sizes_that_are_not_known():
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12))

    def forget(graph):
        for each in (*graph.input, *graph.output):
            for axis in each.type.tensor_type.shape.dim[2:]:
                axis.ClearField("dim_value")
                axis.dim_param = f"{each.name}_{id(axis)}"

    found = session(changed(file, forget), threshold=0, kernels=FAMILIES[0])
    assert claimed(found) == []


def test_graphs_with_branches_are_left_alone():
    """A layer inside of an If, which reads the output of a layer before it."""
    network = Network((2, 16, 9, 8))
    first = network.conv(network.input, 16, activation="relu")
    before = len(network.nodes)
    inner = network.conv(first, 16)
    body = network.nodes[before:]
    del network.nodes[before:]
    name, shape = inner, network.shapes[inner]
    outputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, shape)]
    other = [helper.make_tensor_value_info("other", TensorProto.UINT8, shape)]
    condition = network.node("Greater", [network.node("ReduceMax", ["x"], keepdims=0), network.constant(np.float32(0))])
    network.nodes.append(
        helper.make_node(
            "If",
            [condition],
            ["chosen"],
            then_branch=helper.make_graph(body, "then", [], outputs),
            else_branch=helper.make_graph([helper.make_node("Identity", [first], ["other"])], "else", [], other),
        )
    )
    network.shapes["chosen"], network.numbers["chosen"] = shape, network.numbers[inner]
    assert claims(network.model(network.conv(first, 8), "chosen")) == []


@pytest.mark.parametrize(
    ("attributes", "wanted"), [({"alpha": 0.5}, []), ({"beta": 2.0}, []), ({"alpha": 1.0}, [["Gemm"]])]
)
def test_factors_of_gemm(attributes, wanted):
    network = Network((2, 40))
    file = network.model(network.dense(network.input, 30))
    scale = lambda graph: node(graph, "Gemm").attribute.extend(  # noqa: E731
        helper.make_attribute(name, value) for name, value in attributes.items()
    )
    assert claims(changed(file, scale)) == wanted


def test_a_float_network():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 8))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 4))
    weights = numpy_helper.from_array(np.ones((8, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "float", [x], [y], [weights])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    assert claims(file) == []


def test_weights_of_four_bits():
    """Zero points of 64 outputs are 32 bytes."""
    network = Network((2, 16, 9, 8))
    model = onnx.load_from_string(network.model(network.conv(network.input, 64)))
    model.opset_import[0].version, model.ir_version = 21, 10
    values, _, zero_points = node(model.graph, "DequantizeLinear", 1).input
    for each in model.graph.initializer:
        if each.name in (values, zero_points):
            count = int(np.prod(each.dims))
            each.CopyFrom(helper.make_tensor(each.name, TensorProto.INT4, list(each.dims), np.zeros(count, int)))
    assert claims(model.SerializeToString()) == []


def test_more_pixels_than_the_model_says():
    """A convolution of one pixel has no layout to mind: more pixels are refused, not mixed up."""
    network = Network((1, 64, 1, 1))
    model = onnx.load_from_string(network.model(network.conv(network.input, 64)))
    said = [("x", TensorProto.FLOAT)]
    said += [(each.output[0], TensorProto.UINT8) for each in model.graph.node if each.op_type == "QuantizeLinear"]
    for name, kind in said:
        model.graph.value_info.append(helper.make_tensor_value_info(name, kind, (1, 64, 1, 1)))
    axes = helper.make_tensor_value_info("raw", TensorProto.FLOAT, tuple("abcd"))
    model.graph.input[0].CopyFrom(axes)
    model.graph.input.append(helper.make_tensor_value_info("shape", TensorProto.INT64, (4,)))
    out = model.graph.output[0].name
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info(out, TensorProto.FLOAT, tuple("efgh")))
    model.graph.node.insert(0, helper.make_node("Reshape", ["raw", "shape"], ["x"]))
    made = session(model.SerializeToString(), threshold=0, kernels=FAMILIES[0])
    plain = session(model.SerializeToString(), provider=False)
    assert claimed(made) == [["Conv"]]
    for shape in ((1, 64, 1, 1), (3, 64, 1, 1)):
        inputs = {"raw": np.random.default_rng(0).random(shape, np.float32), "shape": np.array(shape)}
        np.testing.assert_array_equal(made.run(None, inputs)[0], plain.run(None, inputs)[0])
    inputs = {"raw": np.random.default_rng(0).random((1, 64, 2, 3), np.float32), "shape": np.array((1, 64, 2, 3))}
    with pytest.raises(Exception, match="a convolution of one pixel is given more"):
        made.run(None, inputs)
