"""What is written into a graph: weights, biases, scales, operands and shapes without the channels that go."""

import numpy as np

from keras_sparse.exporting import tflite_fold, tflite_layers, tflite_model, tflite_ranges, tflite_removal
from keras_sparse.exporting.tflite_liveness import Channels
from keras_sparse.exporting.tflite_model import Graph

FAR = -(10**6)


def removed(graph, *outputs):
    """The `Graph` that is left."""
    graph.graph.graph.outputs = list(outputs)
    made = Graph(tflite_model.load(tflite_model.dump(graph.model)))
    layers, _ = tflite_layers.find(made)
    known = tflite_ranges.find(made, layers)
    tflite_fold.fold(layers, known)
    tflite_removal.write(made, layers, Channels(made, layers, known))
    return made


def shapes(graph):
    return [list(map(int, graph.tensors[op.outputs[0]].shape)) for op in graph.operators]


def numbers(*shape):
    return np.random.default_rng(0).integers(50, 100, shape)


def test_each_kind_of_layer_loses_rows_and_columns(int8_graph):
    graph = int8_graph(1, 4, 4, 2)
    kernels = numbers(4, 3, 3, 2), numbers(1, 3, 3, 4), numbers(3, 1, 1, 4), numbers(2, 48)
    first = graph.layer("CONV_2D", graph.input, kernels[0], [5, FAR, 7, FAR], [0.01, 0.02, 0.03, 0.04])
    second = graph.layer("DEPTHWISE_CONV_2D", first, kernels[1], [1, FAR, 3, FAR], [0.01, 0.02, 0.03, 0.04])
    third = graph.layer("CONV_2D", second, kernels[2], [FAR, 8, 9], 0.01)
    made = removed(graph, graph.layer("FULLY_CONNECTED", third, kernels[3], [1, 2], 0.01))
    constants = [made.constant(int(op.inputs[1])) for op in made.operators]
    rest = np.array([0, 2])
    # Of the rest of fewer than 8 channels, the depthwise kernel takes any.
    assert np.array_equal(constants[0], kernels[0][rest])
    assert np.array_equal(constants[1], kernels[1][..., rest])
    assert np.array_equal(constants[2], kernels[2][1:][..., rest])
    assert np.array_equal(constants[3], kernels[3].reshape(2, 16, 3)[..., 1:].reshape(2, 32))
    assert [made.constant(int(op.inputs[2])).tolist() for op in made.operators] == [[5, 7], [1, 3], [8, 9], [1, 2]]
    scales = [made.tensors[op.inputs[at]].quantization.scale for op in made.operators[:2] for at in (1, 2)]
    assert np.allclose(scales, [[0.01, 0.03], [0.0005, 0.0015], [0.01, 0.03], [0.0005, 0.0015]])
    assert shapes(made) == [[1, 4, 4, 2], [1, 4, 4, 2], [1, 4, 4, 2], [1, 2]]


def test_a_flattened_tensor_loses_each_position_of_a_channel(int8_graph):
    for given in ([1, 12], [-1, 12], [1, -1]):
        graph = int8_graph(1, 2, 2, 1)
        first = graph.layer("CONV_2D", graph.input, numbers(3, 1, 1, 1), [0, FAR, 0], 0.01)
        grid = {"scale": 0.05, "zero": -128}
        shape = graph.constant(np.array(given, np.int32))
        flat = graph.add(
            "RESHAPE", [first, shape], [1, 12], **grid, options=graph.schema.ReshapeOptionsT(newShape=given)
        )
        again = graph.add("RESHAPE", [flat, shape], [1, 12], **grid)
        kernel = numbers(2, 12)
        made = removed(graph, graph.layer("FULLY_CONNECTED", again, kernel, [0, 0]))
        expected = [size if size == -1 else new for size, new in zip(given, [1, 8], strict=True)]
        assert made.constant(int(made.operators[1].inputs[1])).tolist() == expected
        assert made.constant(int(made.operators[2].inputs[1])).tolist() == expected
        assert list(made.operators[1].builtinOptions.newShape) == expected
        assert np.array_equal(
            made.constant(int(made.operators[3].inputs[1])), kernel.reshape(2, 4, 3)[..., ::2].reshape(2, 8)
        )
        assert shapes(made)[1:3] == [[1, 8], [1, 8]]


def test_an_operand_that_two_operations_share_is_cut_for_each(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    operand = graph.constant(np.array([-120, -110, -100], np.int8), 0.05, -128)
    totals = []
    for bias in ([0, FAR, 0], [FAR, 0, 0]):
        first = graph.layer("CONV_2D", graph.input, numbers(3, 1, 1, 1), bias, 0.01)
        totals.append(graph.both("ADD", first, operand, zero=-128))
    lasts = [graph.layer("CONV_2D", each, numbers(1, 1, 1, 3), [0], 0.01, scale=1.0) for each in totals]
    made = removed(graph, *lasts)
    adds = [op for op in made.operators if made.name(op) == "ADD"]
    assert [made.constant(int(op.inputs[1])).tolist() for op in adds] == [[-120, -100], [-110, -100]]


def test_a_missing_bias_is_made_where_one_is_needed(int8_graph):
    graph = int8_graph(1, 2)
    first = graph.layer("FULLY_CONNECTED", graph.input, np.array([[1, 1], [0, 0]]), [0, 20], 0.05, scale=0.1)
    last = graph.layer("FULLY_CONNECTED", first, np.array([[1, 5], [2, 6]]), None, [0.01, 0.02])
    made = removed(graph, last)
    operator = made.operators[1]
    # 20 x 0.05 x 0.05 / 0.1 = half a level: a tie, not constant
    assert len(operator.inputs) == 2
    graph = int8_graph(1, 2)
    first = graph.layer("FULLY_CONNECTED", graph.input, np.array([[1, 1], [0, 0]]), [0, 200], 0.01, scale=0.1)
    last = graph.layer("FULLY_CONNECTED", first, np.array([[1, 5], [2, 6]]), None, [0.01, 0.02])
    made = removed(graph, last)
    bias = int(made.operators[1].inputs[2])
    assert made.constant(bias).tolist() == [5, 6] and made.constant(bias).dtype == np.int32
    assert np.allclose(made.tensors[bias].quantization.scale, [0.001, 0.002])


def test_free_sizes_stay_free(int8_graph):
    graph = int8_graph(1, 2, 2, 1)
    first = graph.layer("CONV_2D", graph.input, numbers(3, 1, 1, 1), [0, FAR, 0], 0.01)
    graph.graph.tensors[first].shapeSignature = [-1, 2, 2, 3]
    made = removed(graph, graph.layer("CONV_2D", first, numbers(1, 1, 1, 3), [0], 0.01))
    assert list(made.tensors[first].shapeSignature) == [-1, 2, 2, 2]
