"""Every instruction set against plain C and against XNNPACK, bit for bit, over shapes, padding and quantization."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from keras_sparse_edge import native as library

from .int8_network import ACTIVATIONS, Network
from .native import families, interpreter, partitions, run

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")

EVERYTHING = {"threshold": 0}  # claims whatever the kernels can run, be it slower
common = {
    "per_channel": st.booleans(),
    "activation": st.sampled_from(sorted(ACTIVATIONS)),
    "zero_point": st.integers(-128, 127),
}
conv = st.fixed_dictionaries(
    {
        "outputs": st.integers(1, 21),
        "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.just((1, 1)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)) | st.just((1, 1)),
        "same": st.booleans(),
        "zeros": st.sampled_from([0.0, 0.3, 0.6, 0.8, 0.95, 1.0]),
        **common,
    }
)
depthwise = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from([(3, 3), (5, 5), (3, 3), (1, 1), (2, 3), (7, 4), (3, 9)]),
        "stride": st.sampled_from([(1, 1), (2, 2)]),
        "same": st.booleans(),
        **common,
    }
)
dense = st.fixed_dictionaries(
    {
        "outputs": st.integers(1, 70),
        "zeros": st.sampled_from([0.0, 0.3, 0.6, 0.8, 0.95, 1.0]),
        "block": st.sampled_from([(16, 4), (1, 16), (1, 4), (1, 1)]),
        "bias": st.booleans(),
        **common,
    }
)
image = st.tuples(st.integers(1, 3), st.integers(4, 23), st.integers(4, 23), st.integers(1, 19))


def same_everywhere(file, claimed=1):
    """All families give XNNPACK's bytes, with one thread and with several."""
    expected = run(interpreter(file))
    assert partitions(file, kernels=FAMILIES[0], **EVERYTHING) == claimed
    for family in FAMILIES:
        for threads in (1, 3):
            made = interpreter(file, library.delegate(kernels=family, threads=threads, **EVERYTHING))
            for found, wanted in zip(run(made), expected, strict=True):
                np.testing.assert_array_equal(found, wanted, err_msg=f"{family}, {threads} threads")


def spread(file):
    return len(np.unique(run(interpreter(file))[0]))


@given(image, conv, st.integers(-128, 127), st.integers(0, 1000))
def test_convolutions(shape, options, zero_point, seed):
    network = Network(shape, seed, zero_point)
    same_everywhere(network.bytes(network.conv(network.input, **options)))


@given(image, depthwise, st.integers(0, 1000))
def test_depthwise_convolutions_between_convolutions(shape, options, seed):
    kernel, same = options["kernel"], options["same"]
    if not same:
        shape = (shape[0], max(shape[1], kernel[0]), max(shape[2], kernel[1]), shape[3])
    network = Network(shape, seed)
    x = network.conv(network.input, 9, zero_point=-20, activation="relu")
    x = network.depthwise(x, **options)
    same_everywhere(network.bytes(network.conv(x, 6)))


@given(st.tuples(st.integers(1, 40), st.integers(1, 200)), dense, st.integers(-128, 127), st.integers(0, 1000))
def test_fully_connected_layers(shape, options, zero_point, seed):
    network = Network(shape, seed, zero_point)
    same_everywhere(network.bytes(network.dense(network.input, **options)))


@given(image, st.sampled_from(sorted(ACTIVATIONS)), st.integers(-128, 127), st.floats(0.02, 40), st.integers(0, 1000))
@settings(max_examples=30)
def test_sums_between_convolutions(shape, activation, zero_point, ratio, seed):
    network = Network(shape, seed)
    x, y = network.conv(network.input, 7, zero_point=11), network.conv(network.input, 7, zero_point=-70)
    x = network.add(x, y, activation, zero_point, ratio)
    same_everywhere(network.bytes(network.conv(x, 6)))


@given(image, st.tuples(*[st.integers(0, 4)] * 4), st.booleans(), st.booleans(), st.integers(0, 1000))
@settings(max_examples=30)
def test_padding_between_convolutions(shape, pads, depthwise, twice, seed):
    network = Network(shape, seed)
    x = network.conv(network.input, 10, zero_point=-100)
    padded = network.pad(x, *pads)
    options = {"kernel": (3, 3), "stride": (2, 2), "same": False}
    y = network.depthwise(padded, **options) if depthwise else network.conv(padded, 10, **options)
    y = network.conv(y, 4)
    # Read by something that pads by itself as well, the padded image has to be made.
    outputs = (y, network.conv(padded, 3, kernel=(3, 3))) if twice else (y,)
    same_everywhere(network.bytes(*outputs))


def test_a_literal_convolution():
    """Two outputs of five inputs; the second block is a part, and the first output has no weight in it."""
    network = Network((1, 1, 2, 5), zero_point=1, scale=0.5)
    weights = np.zeros((2, 1, 1, 5), np.int8)
    weights[0, 0, 0, :4], weights[1, 0, 0, 4] = [1, -2, 3, 4], 100
    out = network.conv(network.input, 2, per_channel=False, zero_point=-3)
    operator = network.graph.operators[0]
    network.graph.set_constant(operator.inputs[1], weights)
    network.graph.set_constant(operator.inputs[2], np.zeros(2, np.int32))
    network.graph.tensors[operator.inputs[1]].quantization.scale = [0.5]
    network.graph.tensors[out].quantization.scale = [0.5]  # one sum in two is a tie: half of the scale
    file = network.bytes(out)
    x = np.array([[[[1, 2, 3, 4, 5], [-128, 127, 0, 1, 1]]]], np.int8)
    # Sums of (x - 1) * w: [0 - 2 + 6 + 12, 400] and [-129 - 252 - 3 + 0, 0]; halves round to even, bytes saturate.
    wanted = np.array([[[[5, 127], [-128, -3]]]], np.int8)
    for family in FAMILIES:
        made = interpreter(file, library.delegate(kernels=family, **EVERYTHING))
        np.testing.assert_array_equal(run(made, x)[0], wanted)
    np.testing.assert_array_equal(run(interpreter(file), x)[0], wanted)


def test_networks_of_the_tests_say_something():
    network = Network((1, 9, 9, 16))
    assert spread(network.bytes(network.conv(network.input, 16))) > 100
