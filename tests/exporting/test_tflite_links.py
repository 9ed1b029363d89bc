"""Which channels of inputs and outputs go together."""

import numpy as np
import pytest

from keras_sparse.exporting import tflite_links as links


def linked(graph, operator=-1):
    found = links.find(graph.graph, graph.graph.operators[operator])
    return found and [(each.inputs.tolist(), each.outputs.tolist(), each.broadcast) for each in found]


def reshaped(graph, shape, constant=True):
    inputs = [graph.input, graph.constant(np.array(shape, np.int32))]
    if not constant:
        graph.graph.tensors[inputs[1]].buffer = 0
    graph.add("RESHAPE", inputs, shape, 0.05, -3, graph.schema.ReshapeOptionsT(newShape=shape))
    return linked(graph)


def test_a_reshape_keeps_the_order_of_elements(int8_graph):
    assert reshaped(int8_graph(1, 2, 1, 3), [1, 6]) == [([0, 1, 2, 0, 1, 2], [0, 1, 2, 3, 4, 5], False)]
    assert reshaped(int8_graph(1, 4), [1, 2, 2]) == [([0, 1, 2, 3], [0, 1, 0, 1], False)]
    assert reshaped(int8_graph(1, 2, 3), [2, 3]) == [([0, 1, 2], [0, 1, 2], False)]
    assert reshaped(int8_graph(1, 2, 3), [3, 2]) is None
    assert reshaped(int8_graph(1, 2, 3), [1, 6], constant=False) is None


@pytest.mark.parametrize(("axis", "together"), [(3, True), (-1, True), (1, False)])
def test_a_concatenation_puts_channels_side_by_side(int8_graph, axis, together):
    graph = int8_graph(1, 2, 2, 2)
    shape = [1, 2, 2, 4] if together else [1, 4, 2, 2]
    graph.add("CONCATENATION", [graph.input] * 2, shape, 0.05, -3, graph.schema.ConcatenationOptionsT(axis=axis))
    assert linked(graph) == [([0, 1], [0, 1], False), ([0, 1], [2, 3] if together else [0, 1], False)]


def test_one_channel_may_serve_all(int8_graph):
    graph = int8_graph(1, 2, 2, 3)
    graph.both("ADD", graph.input, graph.constant(np.zeros((1, 1, 1, 1), np.int8), 0.1))
    assert linked(graph) == [([0, 1, 2], [0, 1, 2], False), ([0, 0, 0], [0, 1, 2], True)]


@pytest.mark.parametrize(("pads", "tied"), [([[0, 0], [1, 1], [0, 0], [0, 0]], True), ([[0, 0]] * 3 + [[0, 1]], False)])
def test_a_pad_of_channels_is_not_understood(int8_graph, pads, tied):
    graph = int8_graph(1, 2, 2, 3)
    made = [1, 4, 2, 3] if tied else [1, 2, 2, 4]
    graph.add("PAD", [graph.input, graph.constant(np.array(pads, np.int32))], made, 0.05, -3)
    assert (linked(graph) is not None) == tied


@pytest.mark.parametrize(("axes", "tied"), [([1, 2], True), ([-2, 1], True), ([1, 3], False), ([-1], False)])
def test_a_mean_of_channels_is_not_understood(int8_graph, axes, tied):
    graph = int8_graph(1, 2, 2, 3)
    graph.add("MEAN", [graph.input, graph.constant(np.array(axes, np.int32))], [1, 3], 0.05, -3)
    assert (linked(graph) is not None) == tied


@pytest.mark.parametrize(("axes", "tied"), [([1, 2], True), ([-3], True), ([], False), ([3], False), ([-1], False)])
def test_a_squeeze_must_say_that_channels_stay(int8_graph, axes, tied):
    graph = int8_graph(1, 1, 1, 1)
    graph.add("SQUEEZE", [graph.input], [1, 1], 0.05, -3, graph.schema.SqueezeOptionsT(squeezeDims=axes))
    assert (linked(graph) is not None) == tied


@pytest.mark.parametrize(("name", "channels", "tied"), [("MUL", 16, True), ("MUL", 17, False), ("ADD", 17, True)])
def test_a_product_has_whole_blocks_or_is_left(int8_graph, name, channels, tied):
    graph = int8_graph(1, 2, 2, channels)
    graph.both(name, graph.input, graph.input)
    assert linked(graph) is not None
    assert (links.tied(graph.graph, graph.graph.operators[0]) is not None) == tied


def test_blocks_are_those_of_kernels(int8_graph):
    graph = int8_graph(1, 2, 2, 8)
    axes = graph.constant(np.array([1, 2], np.int32))
    for keep in (True, False):
        graph.add("MEAN", [graph.input, axes], [1, 8], 0.1, 0, graph.schema.ReducerOptionsT(keepDims=keep))
    graph.layer("DEPTHWISE_CONV_2D", graph.input, np.ones((1, 1, 1, 8)), np.zeros(8), [0.1] * 8)
    graph.both("ADD", graph.input, graph.input)
    assert [links.block(graph.graph, each) for each in graph.graph.operators] == [16, None, 8, None]


def test_other_operations_and_other_types_are_not_understood(int8_graph):
    graph = int8_graph(1, 4)
    graph.add("SOFTMAX", [graph.input], [1, 4], 1 / 256, -128, graph.schema.SoftmaxOptionsT(beta=1.0))
    assert linked(graph) is None
    made = graph.add("RELU", [graph.input], [1, 4], 0.05, -3)
    assert linked(graph) is not None
    graph.graph.tensors[made].type = 0
    assert linked(graph) is None
