from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from keras_sparse.exporting.onnx_graph import Graph, attribute, per_channel, set_attribute


def made(nodes, constants, outputs=("y",)):
    return helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )


def chain():
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("Add", ["r", "two"], ["y"]),
        helper.make_node("Neg", ["m"], ["unused"]),
    ]
    return made(nodes, {"two": np.float32(2), "three": np.float32(3)})


def test_producers_and_users():
    graph = Graph(chain())
    mul, relu, add, neg = graph.nodes
    assert graph.producer("r") is relu and graph.producer("x") is None
    assert graph.users("m") == [relu, neg]
    assert graph.only_user(relu, "Add", "Mul") is add
    assert graph.only_user(relu, "Mul") is None
    assert graph.only_user(mul, "Relu") is None  # two users
    assert graph.only_user(add, "Add") is None  # an output of the graph


def test_what_is_not_used_is_not_written_back():
    proto = chain()
    Graph(proto).finish()
    assert [node.op_type for node in proto.node] == ["Mul", "Relu", "Add"]
    assert [each.name for each in proto.initializer] == ["two"]


def test_a_skipped_node_leaves_its_input_to_its_users():
    proto = chain()
    graph = Graph(proto)
    graph.skip(graph.nodes[1])
    graph.finish()
    assert [list(node.input) for node in proto.node] == [["x", "two"], ["m", "two"]]


def test_new_constants_take_a_free_name():
    graph = Graph(chain())
    assert graph.constant("two", np.float32(5)) == "two_2"
    assert graph.constant("two", np.float32(6)) == "two_3"
    assert graph.constants["two"] == 2


def test_a_replaced_node_may_be_given_its_own_inputs():
    graph = Graph(chain())
    node = graph.nodes[0]
    graph.replace(node, "Div", node.input)
    assert (node.op_type, list(node.input), list(node.output)) == ("Div", ["x", "two"], ["m"])


def test_what_a_loop_takes_from_outside_stays():
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "m"], ["next"]), helper.make_node("Identity", ["go"], ["again"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["m"]),
        helper.make_node("Loop", ["count", "", "x"], ["y"], body=body),
    ]
    proto = made(nodes, {"two": np.float32(2), "count": np.int64(3)})
    graph = Graph(proto)
    assert "m" in graph.outputs
    graph.finish()
    assert [node.op_type for node in proto.node] == ["Mul", "Loop"]


def test_attributes_are_read_and_set():
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    set_attribute(node, "pads", [2, 0, 2, 0])
    set_attribute(node, "group", 4)
    assert attribute(node, "pads") == [2, 0, 2, 0]
    assert attribute(node, "group") == 4
    assert attribute(node, "dilations", "none") == "none"
    assert len(node.attribute) == 2


@pytest.mark.parametrize(
    ("shape", "channels", "after", "fits"),
    [
        ((1, 3, 1, 1), 3, 2, True),
        ((3, 1, 1), 3, 2, True),
        ((3,), 3, 0, True),
        ((1, 3), 3, 0, True),
        ((1,), 5, 2, True),
        ((3,), 3, 2, False),  # along the last axis of an image
        ((1, 3, 4, 1), 3, 2, False),
        ((2, 3), 3, 0, False),
    ],
)
def test_a_factor_per_channel(shape, channels, after, fits):
    factor = per_channel(np.ones(shape, np.float32), channels, after)
    assert (factor is not None) == fits
    assert factor is None or factor.shape == (channels,)
