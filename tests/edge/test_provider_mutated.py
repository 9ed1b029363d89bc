"""What the fuzzer of the provider found: files that ONNX Runtime takes, in each of which one thing is odd."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from .exact_onnx import outputs
from .native import families
from .qdq_network import Network
from .test_provider_refusals import changed, node, put

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")


def claimed(file):
    """How many nodes are claimed; the outputs are those of ONNX Runtime for each of three inputs."""
    wanted, _ = outputs(file, None, 1, seed=0)
    found, count = outputs(file, {"kernels": FAMILIES[0]}, 1, seed=0)
    assert not isinstance(wanted[0], str), wanted[0]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_equal(one, other)
    return count


def refused(file):
    """ONNX Runtime refuses it, and does so with the provider."""
    for provider in (None, {"kernels": FAMILIES[0]}):
        assert isinstance(outputs(file, provider, 1, seed=0)[0][0], str)


def values(graph, name):
    (found,) = [each for each in graph.initializer if each.name == name]
    return np.array(numpy_helper.to_array(found))


@pytest.mark.parametrize("scale", [np.nan, np.inf, 3e38])
def test_a_channel_without_weights_whose_scale_is_no_number(scale):
    """Zero times such a scale is no number either, and not the zero point."""
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12, bias=False))

    def change(graph):
        weights, scales, _ = node(graph, "DequantizeLinear", 1).input
        put(graph, weights, values(graph, weights) * (np.arange(12) != 3).astype(np.int8).reshape(12, 1, 1, 1))
        put(graph, scales, np.where(np.arange(12) == 3, np.float32(scale), values(graph, scales)))

    assert claimed(file) == 4
    assert claimed(changed(file, change)) == 0


def test_an_input_that_the_file_has():
    """Constants are not among a partition's inputs."""
    network = Network((2, 16, 9, 8))
    first = network.conv(network.input, 12)
    file = network.model(network.conv(first, 8))

    def change(graph):
        known = np.random.default_rng(0).integers(0, 256, (2, 12, 9, 8)).astype(np.uint8)
        graph.initializer.append(numpy_helper.from_array(known, "known"))
        for each in graph.node:
            if each.op_type == "DequantizeLinear" and each.input[0] == first:
                each.input[0] = "known"

    assert claimed(file) == 10
    assert claimed(changed(file, change)) == 5  # the first layer


@pytest.mark.parametrize(("place", "shape"), [(1, (12, 1)), (1, (1, 12)), (3, (1, 1))])
def test_zero_points_of_more_than_one_axis(place, shape):
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12))

    def change(graph):
        points = node(graph, "DequantizeLinear", place).input[2]
        put(graph, points, values(graph, points).reshape(shape))

    refused(changed(file, change))


def test_a_kernel_shape_that_is_not_that_of_the_weights():
    """One from which the output's shape is the same."""
    network = Network((2, 16, 9, 8))
    file = network.model(network.conv(network.input, 12, (3, 3), (2, 2)))

    def change(graph):
        (said,) = [each for each in node(graph, "Conv").attribute if each.name == "kernel_shape"]
        said.ints[:] = (2, 3)

    assert claimed(file) == 5
    refused(changed(file, change))
