"""Free zeros: what is zeroed, and what the bias becomes."""

import numpy as np

from keras_sparse.exporting import tflite_fold, tflite_layers, tflite_ranges


def folded(graph):
    layers, _ = tflite_layers.find(graph.graph)
    known = tflite_ranges.find(graph.graph, layers)
    counts = tflite_fold.fold(layers, known)
    return list(layers.values()), list(counts.values())


def source(graph):
    """A layer with three channels: the input, 2 above the zero point, and the zero point."""
    weights = np.array([1, 0, 0]).reshape(3, 1, 1, 1)
    return graph.layer("CONV_2D", graph.input, weights, [0, 20, 0], 0.01, scale=0.1, zero=-128)


def test_a_constant_that_is_read_becomes_a_bias(int8_graph):
    graph = int8_graph(1, 3, 3, 1, scale=1.0)
    graph.layer("CONV_2D", source(graph), np.arange(1, 13).reshape(4, 1, 1, 3), [10, 20, 30, 40], 0.1)
    (_, layer), counts = folded(graph)
    assert layer.weights[:, 0].tolist() == [[1, 0, 0], [4, 0, 0], [7, 0, 0], [10, 0, 0]]
    assert layer.bias.tolist() == [10 + 2 * 2, 20 + 2 * 5, 30 + 2 * 8, 40 + 2 * 11]
    assert counts == [0, 8]


def test_padding_lets_only_the_zero_point_fold(int8_graph):
    weights = np.ones((2, 3, 3, 3))
    weights[1, ..., 1] = [[0, 0, 0], [0, 7, 0], [0, 0, 0]]  # this tap is always inside
    for padding, kept in (("SAME", [[9, 9, 0], [9, 0, 0]]), ("VALID", [[9, 0, 0], [9, 0, 0]])):
        graph = int8_graph(1, 4, 4, 1, scale=1.0)
        graph.layer("CONV_2D", source(graph), weights, [0, 0], 0.1, padding=padding)
        (_, layer), _ = folded(graph)
        assert np.count_nonzero(layer.weights, 1).tolist() == kept
        assert layer.bias.tolist() == [0 if padding == "SAME" else 18, 14]


def test_a_constant_output_needs_no_weights(int8_graph):
    graph = int8_graph(1, 1, 1, 4, scale=1.0, zero=0)
    weights = np.array([[1, -1, 2, 3], [1, 1, 1, 1], [0, 0, 0, 0]])
    graph.layer("FULLY_CONNECTED", graph.input, weights, [-10000, -500, -10000], 0.1, scale=0.1, zero=-128)
    (layer,), counts = folded(graph)
    assert layer.weights[:, 0].tolist() == [[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert layer.bias.tolist() == [-10000, -500, -10000] and counts == [4]


def test_the_bias_of_a_constant_output_is_one_that_it_had(int8_graph):
    graph = int8_graph(1, 1, 1, 1, scale=1.0, zero=0)
    given = graph.layer("FULLY_CONNECTED", graph.input, np.array([[1]]), [2000], 0.01, scale=0.1)
    # It is 187 to 213 above the zero point: -100 times that, and 1000, is negative; 1000 alone would not be.
    graph.layer("FULLY_CONNECTED", given, np.array([[-100]]), [1000], 0.01)
    (_, layer), _ = folded(graph)
    assert layer.weights.tolist() == [[[0]]] and layer.bias.tolist() == [1000 - 100 * 187]


def test_a_bias_that_would_overflow_is_left(int8_graph):
    graph = int8_graph(1, 1, 1, 1, scale=1.0)
    bias = [2**31 - 3, 2**31 - 4]
    graph.layer("CONV_2D", source(graph), np.array([[1, 1, 0], [-1, 1, 0]]).reshape(2, 1, 1, 3), bias, 0.1)
    (_, layer), _ = folded(graph)
    assert layer.bias.tolist() == [2**31 - 1, 2**31 - 2]
    graph = int8_graph(1, 1, 1, 1, scale=1.0)
    graph.layer("CONV_2D", source(graph), np.array([[1, 1, 0]]).reshape(1, 1, 1, 3), [2**31 - 2], 0.1, zero=-3)
    (_, layer), _ = folded(graph)
    assert layer.bias.tolist() == [2**31 - 2] and layer.weights.ravel().tolist() == [1, 1, 0]
