"""Which channels stay, and why, on small graphs."""

import numpy as np
import pytest

from keras_sparse.exporting import tflite_fold, tflite_layers, tflite_liveness, tflite_ranges

FAR = -(10**6)
"""A bias that no weights here reach zero from: a dead ReLU."""


def channels(graph, *outputs):
    graph.graph.graph.outputs = list(outputs)
    layers, _ = tflite_layers.find(graph.graph)
    known = tflite_ranges.find(graph.graph, layers)
    tflite_fold.fold(layers, known)
    return tflite_liveness.Channels(graph.graph, layers, known)


def conv(graph, source, dead, bias=None, **options):
    """A 1x1 convolution with weights of 100, a level for each; `dead` are its dead channels, written as in "0110"."""
    weights = np.full((len(dead), 1, 1, graph.shape(source)[-1]), 100)
    bias = [FAR if each == "1" else 0 for each in dead] if bias is None else bias
    return graph.layer("CONV_2D", source, weights, bias, 0.01, **options)


def kept(found, tensor):
    return "".join(str(int(each)) for each in found.kept(tensor))


def test_dead_channels_go_and_outputs_stay(int8_graph):
    graph = int8_graph(1, 2, 2, 3)
    first = conv(graph, graph.input, "0110")
    last = conv(graph, first, "01")
    found = channels(graph, last)
    assert (kept(found, graph.input), kept(found, first), kept(found, last)) == ("111", "1001", "11")
    assert found.cause(last, 1) == tflite_liveness.OUTPUT
    assert found.cause(first, 0) == f"CONV_2D 't{last}' reads what becomes of them"


def test_what_only_a_dead_channel_reads_goes(int8_graph):
    graph = int8_graph(1, 2, 2, 3)
    first = conv(graph, graph.input, "000")
    weights = 100 * np.array([[1, 0, 0], [0, 1, 1]]).reshape(2, 1, 1, 3)
    second = graph.layer("CONV_2D", first, weights, [0, FAR], 0.01)
    found = channels(graph, conv(graph, second, "0"))
    assert kept(found, first) == "100" and kept(found, second) == "10"


def test_a_channel_stays_if_any_reader_reads_it(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    first = conv(graph, graph.input, "000")
    one = graph.layer("CONV_2D", first, np.array([100, 0, 0]).reshape(1, 1, 1, 3), [0], 0.01)
    two = graph.layer("CONV_2D", first, np.array([0, 100, 0]).reshape(1, 1, 1, 3), [0], 0.01)
    assert kept(channels(graph, one, two), first) == "110"


def test_a_depthwise_convolution_ties_its_input_to_all_that_it_makes_of_it(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    first = conv(graph, graph.input, "0101")
    depthwise = graph.layer("DEPTHWISE_CONV_2D", first, np.full((1, 1, 1, 8), 100), np.zeros(8), 0.01)
    weights = 100 * np.array([1, 0, 1, 1, 0, 0, 1, 1]).reshape(1, 1, 1, 8)
    found = channels(graph, graph.layer("CONV_2D", depthwise, weights, [0], 0.01))
    # Only the first two are read, but the kernel takes channels by eights.
    assert kept(found, depthwise) == "11111111" and kept(found, first) == "1111"
    assert {found.cause(depthwise, at) for at in (2, 4)} == {tflite_liveness.BLOCKS}


@pytest.mark.parametrize(
    ("dead", "expected"),
    [
        ("1" * 8 + "0" * 8, "0" * 8 + "1" * 8),
        ("1" * 9 + "0" * 7, "10000000" + "01111111"),
        ("1" * 16 + "0" * 3, "0" * 16 + "111"),
        ("0" * 8 + "1" * 3, "1" * 8 + "100"),
        ("1" * 3 + "0" * 2, "00011"),
    ],
)
def test_channels_stay_in_blocks_or_in_the_rest(int8_graph, dead, expected):
    graph = int8_graph(1, 2, 2, 1)
    first = conv(graph, graph.input, dead)
    depthwise = graph.layer("DEPTHWISE_CONV_2D", first, np.full((1, 1, 1, len(dead)), 100), np.zeros(len(dead)), 0.01)
    assert kept(channels(graph, conv(graph, depthwise, "0")), depthwise) == expected


def test_a_residual_sum_loses_what_is_dead_on_both_sides(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    one, two = conv(graph, graph.input, "0011"), conv(graph, graph.input, "0101")
    total = graph.both("ADD", one, two, zero=-128)
    last = conv(graph, total, "0")
    found = channels(graph, last)
    assert kept(found, one) == kept(found, two) == kept(found, total) == "1110"
    assert found.cause(one, 2) == f"CONV_2D 't{last}' reads what becomes of them"


def test_one_channel_stays(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    first = conv(graph, graph.input, "111")
    found = channels(graph, conv(graph, first, "0"))
    assert kept(found, first) == "100" and found.cause(first, 0) == tflite_liveness.LAST


@pytest.mark.parametrize(
    ("dead", "expected"), [("1" * 9, "111111110"), ("0" * 3 + "1" * 9, "111111110000"), ("11", "11")]
)
def test_a_matrix_times_a_vector_keeps_what_its_kernel_needs(int8_graph, dead, expected):
    graph = int8_graph(1, 3)
    bias = [FAR if each == "1" else 0 for each in dead]
    first = graph.layer("FULLY_CONNECTED", graph.input, np.full((len(dead), 3), 100), bias, 0.01)
    second = graph.layer("FULLY_CONNECTED", first, np.full((6, len(dead)), 9), [FAR, 0, FAR, FAR, FAR, FAR], 0.01)
    found = channels(graph, graph.layer("FULLY_CONNECTED", second, np.full((1, 6), 100), [0], 0.01, scale=1.0))
    assert kept(found, first) == expected and kept(found, second) == "111111"
    assert found.cause(second, 0) == tflite_liveness.COLUMN


def test_a_constant_channel_is_kept_rather_than_another(int8_graph):
    graph = int8_graph(1, 1, 1, 2)
    first = conv(graph, graph.input, "0" * 8 + "1" * 8)
    weights = np.zeros((8, 1, 1, 16))
    weights[:4] = 100
    weights[:4, ..., 3:] = 0
    second = graph.layer("CONV_2D", first, weights, [0] * 4 + [FAR] * 4, 0.01, scale=1.0)
    found = channels(graph, conv(graph, second, "0000"))
    assert kept(found, second) == "1" * 8  # eight inputs of the last
    assert kept(found, first) == "111" + "0" * 5 + "11111000"


def test_what_is_not_understood_keeps_its_channels(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    first = conv(graph, graph.input, "0101")
    made = graph.add("SOFTMAX", [first], [1, 2, 2, 4], 1 / 256, -128, graph.schema.SoftmaxOptionsT(beta=1.0))
    found = channels(graph, conv(graph, made, "0"))
    assert kept(found, first) == kept(found, made) == "1111"
    assert found.cause(first, 1) == f"SOFTMAX 't{made}' reads them"
    assert found.cause(made, 1) == f"SOFTMAX 't{made}' makes them"


def test_a_border_that_a_bias_cannot_replace_keeps_a_channel(int8_graph):
    graph = int8_graph(1, 4, 4, 1, scale=1.0)
    first = graph.layer("CONV_2D", graph.input, np.array([1, 0, 0]).reshape(3, 1, 1, 1), [0, 20, 0], 0.01, scale=0.1)
    last = graph.layer("CONV_2D", first, np.ones((1, 3, 3, 3)), [0], 0.01)
    found = channels(graph, last)
    assert kept(found, first) == "110"
    assert found.cause(first, 1) == f"CONV_2D 't{last}' has no bias that fits its border"


def test_the_input_of_a_layer_that_is_a_constant_stays(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    stored = graph.constant(np.ones((1, 2, 2, 3), np.int8), 0.05)
    made = graph.layer("CONV_2D", stored, np.zeros((1, 1, 1, 3)), [0], 0.01)
    tied = graph.layer("DEPTHWISE_CONV_2D", stored, np.ones((1, 1, 1, 3)), [0] * 3, 0.01)
    found = channels(graph, made, conv(graph, tied, "0"))
    assert kept(found, stored) == kept(found, tied) == "111"
