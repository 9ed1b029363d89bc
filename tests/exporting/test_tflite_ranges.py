"""Intervals through single operations: literal levels; test_tflite_shrink.py holds them against the runtime."""

import numpy as np
import pytest

from keras_sparse.exporting import tflite_layers, tflite_ranges

GRID = {"scale": 0.05, "zero": -3}


def ranges(graph, tensor, **given):
    """The range of a tensor where constants stand for the input."""
    known = tflite_ranges.find(graph.graph, tflite_layers.find(graph.graph)[0])
    return [list(map(int, each)) for each in zip(*known[tensor], strict=True)]


def constant(graph, *values, **grid):
    """A constant operand: channel c holds values[c]; `(1, 5)` holds both, at different positions."""
    table = np.array([np.resize(value, 2) for value in values], np.int8).T.reshape(1, 1, 2, -1)
    return graph.constant(table, grid.get("scale", 0.05), grid.get("zero", -3))


def test_layers_of_zeros_and_dead_relus_are_constant(int8_graph):
    graph = int8_graph(1, 1, 1, 2, scale=0.1, zero=0)
    weights = np.array([[0, 0], [1, 1], [1, 1], [0, 0], [0, 0]])
    bias = [30, -300, -200, -30, 45]  # 0.1 * 0.01 / 0.01 = 0.1 of a level; weights add 256 x 1 at most
    made = graph.layer("FULLY_CONNECTED", graph.input, weights, bias, 0.01, scale=0.01, zero=-100)
    assert ranges(graph, made) == [[-97, -97], [-100, -100], [-100, -94], [-100, -100], [-96, -95]]


def test_a_constant_under_padding_is_none(int8_graph):
    graph = int8_graph(1, 3, 3, 1, scale=0.1, zero=-128)
    made = graph.layer("CONV_2D", graph.input, np.zeros((3, 1, 1, 1)), [-99, 10, 1200], 0.1, scale=0.1, zero=-128)
    assert ranges(graph, made) == [[-128, -128], [-127, -127], [-8, -8]]
    grid = {"weight_scale": [0.1] * 3, "scale": 0.1, "zero": -128}
    weights = np.full((1, 3, 3, 3), 1)
    same = graph.layer("DEPTHWISE_CONV_2D", made, weights, [0] * 3, **grid)
    valid = graph.layer("DEPTHWISE_CONV_2D", made, weights, [0] * 3, padding="VALID", **grid)
    # zero point: nothing is added. 1 above it: 4 to 9 taps inside, a tenth of a level each.
    assert ranges(graph, same)[:2] == [[-128, -128], [-128, -127]]
    assert ranges(graph, valid) == [[-128, -128], [-127, -127], [-20, -20]]


@pytest.mark.parametrize(
    ("name", "activation", "expected"),
    [
        ("ADD", "NONE", [[-3, -3], [15, 15], [-8, 2]]),
        ("ADD", "RELU", [[-3, -3], [15, 15], [-3, 2]]),
        ("SUB", "NONE", [[-3, -3], [5, 5], [-7, 3]]),
        ("MUL", "NONE", [[-3, -3], [0, 0], [-4, -3]]),
    ],
)
def test_elementwise(int8_graph, name, activation, expected):
    graph = int8_graph(1, 1, 2, 3)
    # offsets from -3: 0, 13 and -2 to 3; and 0, 5, -3 to 2
    one, other = constant(graph, -3, 10, (-5, 0)), constant(graph, -3, 2, (-6, -1))
    made = graph.both(name, one, other, activation=activation, **GRID)
    assert ranges(graph, made) == expected


def test_sums_near_a_tie_are_not_constant(int8_graph):
    graph = int8_graph(1, 1, 2, 2)
    made = graph.both("ADD", constant(graph, -2, 10), constant(graph, -3, -3), scale=0.1, zero=0)
    assert ranges(graph, made) == [[0, 1], [6, 7]]


def test_padding_and_copies(int8_graph):
    graph = int8_graph(1, 1, 2, 2)
    given = constant(graph, -3, (4, 9))
    pads = graph.constant(np.array([[0, 0], [1, 0], [0, 0], [0, 0]], np.int32))
    assert ranges(graph, graph.add("PAD", [given, pads], [1, 2, 2, 2], **GRID)) == [[-3, -3], [-3, 9]]
    value = graph.constant(np.array([5], np.int8), 0.05, -3)
    assert ranges(graph, graph.add("PADV2", [given, pads, value], [1, 2, 2, 2], **GRID)) == [[-3, 5], [4, 9]]
    options = graph.schema.Pool2DOptionsT(filterWidth=2, filterHeight=1, strideW=1, strideH=1, padding=1)
    pooled = graph.add("AVERAGE_POOL_2D", [given], [1, 1, 1, 2], **GRID, options=options)
    assert ranges(graph, pooled) == [[-3, -3], [4, 9]]
    other = graph.add("AVERAGE_POOL_2D", [given], [1, 1, 1, 2], 0.04, -3, options=options)
    assert ranges(graph, other) == [[-128, 127]] * 2  # another scale: not what a kernel takes
    shape = graph.constant(np.array([1, 4], np.int32))
    assert ranges(graph, graph.add("RESHAPE", [given, shape], [1, 4], **GRID)) == [[-3, -3], [4, 9]] * 2
    joined = graph.schema.ConcatenationOptionsT(axis=3)
    assert ranges(graph, graph.add("CONCATENATION", [given, given], [1, 1, 2, 4], **GRID, options=joined)) == [
        [-3, -3], [4, 9], [-3, -3], [4, 9]
    ]  # fmt: skip


def test_conversions(int8_graph):
    graph = int8_graph(1, 1, 2, 3)
    given = constant(graph, -3, 13, (-9, 7))
    assert ranges(graph, graph.add("RELU", [given], [1, 1, 2, 3], 0.1, -10)) == [[-10, -10], [-3, -1], [-10, -4]]
    assert ranges(graph, graph.add("RELU6", [given], [1, 1, 2, 3], 1.0, 0)) == [[0, 0], [1, 1], [0, 1]]
    assert ranges(graph, graph.add("QUANTIZE", [given], [1, 1, 2, 3], 0.1, -10))[0] == [-10, -10]
    assert ranges(graph, graph.add("LOGISTIC", [given], [1, 1, 2, 3], 1 / 256, -128)) == [[-128, 127]] * 3


@pytest.mark.parametrize(
    ("scale", "zero", "value", "expected"),
    [
        (0.05, -3, -3, [-3, -3]),
        (0.05, -3, 40, [40, 40]),
        (0.04, -3, 37, [47, 47]),
        (0.04, -3, -3, [-3, -3]),
        (0.0504, -3, -3, [-3, -3]),
        (0.0498, -3, 39, [39, 39]),
    ],
)
def test_a_mean_of_a_constant(int8_graph, scale, zero, value, expected):
    graph = int8_graph(1, 8, 8, 1)
    given = graph.constant(np.full((1, 8, 8, 1), value, np.int8), 0.05, -3)
    axes = graph.constant(np.array([1, 2], np.int32))
    assert ranges(graph, graph.add("MEAN", [given, axes], [1, 1], scale, zero)) == [expected]


def test_a_mean_that_kernels_round_apart_is_not_constant(int8_graph):
    # -128 x 1.012 = -129.55: its kernels make -128 or -127 of it, by the channel's place.
    graph = int8_graph(1, 3, 3, 1)
    given = graph.constant(np.full((1, 3, 3, 1), -128, np.int8), 0.004604, -128)
    axes = graph.constant(np.array([1, 2], np.int32))
    assert ranges(graph, graph.add("MEAN", [given, axes], [1, 1], 0.004549, -128)) == [[-128, -127]]


def test_an_accumulator_that_overflows_may_be_anything(int8_graph):
    graph = int8_graph(1, 1, 1, 1, scale=0.1, zero=0)
    weights, bias = np.array([[127], [0]]), [2**31 - 1, 2**31 - 1]
    made = graph.layer("FULLY_CONNECTED", graph.input, weights, bias, 0.1, scale=0.1, zero=0, activation="NONE")
    assert ranges(graph, made) == [[-128, 127], [127, 127]]
