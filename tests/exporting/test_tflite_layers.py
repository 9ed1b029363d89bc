"""Layers as sums of weights times channels at taps, against the runtime and against brute force."""

import itertools

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import SparsityParametersT
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.exporting import tflite_layers


def found(graph):
    layers, reasons = tflite_layers.find(graph.graph)
    return layers.get(0), reasons.get(0)


def ones(*shape):
    return np.ones(shape, int)


@pytest.mark.parametrize(
    ("size", "kernel", "options", "windows"),
    [
        (5, 1, {}, [[1]]),
        (5, 3, {"padding": "VALID"}, [[1, 1, 1]]),
        (5, 3, {}, [[0, 1, 1], [1, 1, 0], [1, 1, 1]]),
        (1, 3, {}, [[0, 1, 0]]),
        (4, 3, {"strides": 2}, [[1, 1, 0], [1, 1, 1]]),  # "same" with an even size pads after only
        (5, 3, {"strides": 2}, [[0, 1, 1], [1, 1, 0], [1, 1, 1]]),
        (5, 3, {"dilation": 2}, [[0, 1, 1], [1, 1, 0], [1, 1, 1]]),
        (3, 3, {"dilation": 2}, [[0, 1, 0], [0, 1, 1], [1, 1, 0]]),
    ],
)
def test_the_sets_of_taps_inside_the_input(int8_graph, size, kernel, options, windows):
    graph = int8_graph(1, size, 1, 2)
    weights = ones(4, kernel, 1, 2)
    graph.layer("CONV_2D", graph.input, weights, np.zeros(4), [0.1] * 4, **options)
    layer, _ = found(graph)
    assert sorted(layer.windows.astype(int).tolist()) == sorted(windows)


@given(
    st.sampled_from(["CONV_2D", "DEPTHWISE_CONV_2D"]), st.integers(2, 4), st.integers(1, 3), st.integers(1, 2),
    st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_accumulators_stay_in_their_intervals_and_reach_both_ends(int8_graph, kind, size, kernel, stride, same, seed):
    numbers = np.random.default_rng(seed)
    same, channels = same or kernel > size, 2
    graph = int8_graph(1, size, size, channels, zero=5)
    shape = (3, kernel, kernel, channels) if kind == "CONV_2D" else (1, kernel, kernel, 4)
    weights, bias = numbers.integers(-127, 128, shape), numbers.integers(-99, 99, 3 if kind == "CONV_2D" else 4)
    options = {"strides": stride, "padding": "SAME" if same else "VALID"}
    graph.layer(kind, graph.input, weights, bias, [0.1] * len(bias), **options)
    layer, _ = found(graph)
    lowest, highest = np.array([-128, 7]), np.array([3, 100])
    low, high = layer.accumulators(lowest, highest)
    made = _accumulators(kind, size, lowest, highest, weights, bias, stride, same)
    assert low.tolist() == made.min(0).tolist() and high.tolist() == made.max(0).tolist()


def _accumulators(kind, size, lowest, highest, weights, bias, stride, same):
    """All that an output can be where each input is at one of its ends: (cases, outputs)."""
    kernel = weights.shape[1]
    count = -(-size // stride) if same else (size - kernel) // stride + 1
    before = max((count - 1) * stride + kernel - size, 0) // 2 if same else 0
    rows = []
    for y, x in itertools.product(range(count), repeat=2):
        low, high = bias.astype(float), bias.astype(float)
        for i, j, out in itertools.product(range(kernel), range(kernel), range(len(bias))):
            if not (0 <= y * stride - before + i < size and 0 <= x * stride - before + j < size):
                continue
            sources = range(2) if kind == "CONV_2D" else [out // 2]
            for c in sources:
                w = weights[out, i, j, c] if kind == "CONV_2D" else weights[0, i, j, out]
                ends = sorted([w * (lowest[c] - 5), w * (highest[c] - 5)])
                low[out], high[out] = low[out] + ends[0], high[out] + ends[1]
        rows += [low, high]
    return np.array(rows)


def test_a_dense_layer_that_flattens_reads_each_channel_at_each_position(int8_graph):
    graph = int8_graph(1, 2, 3, 4)
    graph.layer("FULLY_CONNECTED", graph.input, np.arange(48).reshape(2, 24))
    layer, _ = found(graph)
    assert layer.weights.shape == (2, 6, 4) and layer.weights[1, 2, 3] == 24 + 2 * 4 + 3
    assert layer.bias.tolist() == [0, 0]
    kept = layer.stored(np.array([False, True]), np.array([True, False, False, True]))
    assert kept.tolist() == [[n for n in range(24, 48) if n % 4 in (0, 3)]]


def test_stored_weights_are_the_files(int8_graph):
    for kind, shape in (("CONV_2D", (3, 2, 1, 4)), ("DEPTHWISE_CONV_2D", (1, 2, 1, 8))):
        graph = int8_graph(1, 5, 5, 4)
        weights = np.random.default_rng(0).integers(-127, 128, shape)
        graph.layer(kind, graph.input, weights, np.zeros(max(shape[0], 8) if kind[0] == "D" else 3), 0.1)
        layer, _ = found(graph)
        everything = np.ones(len(layer.bias), bool), np.ones(4, bool)
        assert np.array_equal(layer.stored(*everything), weights)
        outputs = np.arange(len(layer.bias)) % 2 == 0
        assert np.array_equal(
            layer.stored(outputs, everything[1]), weights[::2] if kind[0] == "C" else weights[..., ::2]
        )


def _edit(tensor, **fields):
    for name, value in fields.items():
        setattr(tensor, name, value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g, op: _edit(g.tensors[op.inputs[0]], type=0), "activations are not"),
        (lambda g, op: [_edit(g.tensors[at], type=3) for at in (op.inputs[0], op.inputs[1])], "uint8 and uint8"),
        (lambda g, op: _edit(g.tensors[op.inputs[0]].quantization, scale=[0.1, 0.2]), "do not have one scale"),
        (lambda g, op: _edit(g.tensors[op.inputs[1]].quantization, scale=[0.1, 0.2]), "neither one scale nor one"),
        (lambda g, op: _edit(g.tensors[op.inputs[1]].quantization, quantizedDimension=3), "not along its output"),
        (lambda g, op: _edit(g.tensors[op.inputs[1]].quantization, zeroPoint=[1, 0, 0]), "zero point"),
        (lambda g, op: _edit(g.tensors[op.inputs[1]].quantization, scale=[0.1, 0.0, 0.2]), "no positive numbers"),
        (lambda g, op: _edit(g.tensors[op.inputs[1]], sparsity=SparsityParametersT()), "stored sparse: A tensor of"),
        (lambda g, op: _edit(g.tensors[op.inputs[1]], buffer=0), "not an int8 constant"),
        (lambda g, op: _edit(g.tensors[op.inputs[2]], buffer=0), "bias is not"),
        (lambda g, op: _edit(g.tensors[op.inputs[0]], shape=[1, 4, 4, 4]), "grouped"),
        (lambda g, op: _edit(g.tensors[op.inputs[0]], shapeSignature=[1, -1, 4, 2]), "is free"),
        (lambda g, op: _edit(g.tensors[op.inputs[0]], shapeSignature=[1, 4, 4, -1]), "not fixed"),
        (lambda g, op: _edit(g.tensors[op.outputs[0]], isVariable=True), "not fixed"),
        (lambda g, op: _edit(op.builtinOptions, fusedActivationFunction=4), "activation"),
    ],
)
def test_what_is_not_understood_says_why(int8_graph, change, reason):
    graph = int8_graph(1, 4, 4, 2)
    graph.layer("CONV_2D", graph.input, ones(3, 3, 3, 2), np.zeros(3), [0.1, 0.2, 0.3])
    assert found(graph)[1] is None
    change(graph.graph, graph.graph.operators[0])
    layer, why = found(graph)
    assert layer is None and reason in why
