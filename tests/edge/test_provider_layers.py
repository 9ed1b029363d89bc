"""The provider's layers against ONNX Runtime's own int8 kernels, bit for bit, over shapes, padding and quantization."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from .native import families
from .onnx_sessions import claimed, random_input, run, session
from .qdq_network import Network

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")

ZEROS = st.sampled_from([0.0, 0.5, 0.8, 0.95])
DTYPE = st.sampled_from([np.uint8, np.int8])
BATCH = st.sampled_from([1, 3, "n"])
common = {
    "per_channel": st.booleans(),
    "bias": st.booleans(),
    "activation": st.sampled_from([None, "relu", "relu6"]),
}
pads = st.tuples(*4 * [st.integers(0, 2)]) | st.just((0, 0, 0, 0))
conv = st.fixed_dictionaries(
    {
        "outputs": st.integers(1, 21),
        "kernel": st.tuples(st.integers(1, 4), st.integers(1, 4)) | st.just((1, 1)),
        "stride": st.tuples(st.integers(1, 3), st.integers(1, 3)) | st.just((1, 1)),
        "pads": pads,
        "zeros": ZEROS,
        **common,
    }
)
depthwise = st.fixed_dictionaries(
    {
        "kernel": st.sampled_from([(3, 3), (5, 5), (1, 1), (2, 3), (4, 2)]),
        "stride": st.sampled_from([(1, 1), (2, 2)]),
        "pads": pads,
        **common,
    }
)
dense = st.fixed_dictionaries(
    {
        "outputs": st.integers(1, 70),
        "zeros": ZEROS,
        "block": st.sampled_from([(16, 4), (1, 16), (1, 4), (1, 1)]),
        "transposed": st.booleans(),
        **common,
    }
)
image = st.tuples(st.integers(2, 19), st.integers(5, 23), st.integers(5, 23))


def same_everywhere(file, batch, operations):
    plain = session(file, provider=False)
    sizes = [batch] if isinstance(batch, int) else [2, 17, 1]
    inputs = [random_input(plain, size) for size in sizes]
    wanted = [run(plain, x) for x in inputs]
    for family in FAMILIES:
        made = session(file, threads=1 + len(family) % 2, threshold=0, kernels=family)
        found = claimed(made)
        assert [kind for part in found for kind in part if kind in ("Conv", "Gemm", "MatMul")] == operations
        assert len(found) == 1
        for x, want in zip(inputs, wanted, strict=True):
            np.testing.assert_array_equal(run(made, x), want, err_msg=family)


@given(image, conv, DTYPE, BATCH, st.integers(0, 2**31))
@settings(max_examples=60)
def test_convolutions(shape, options, dtype, batch, seed):
    network = Network((batch if isinstance(batch, int) else 1, *shape), seed, dtype, batch)
    same_everywhere(network.model(network.conv(network.input, **options)), batch, ["Conv"])


@given(image, depthwise, conv, DTYPE, BATCH, st.integers(0, 2**31))
@settings(max_examples=60)
def test_depthwise_convolutions_behind_convolutions(shape, options, before, dtype, batch, seed):
    network = Network((batch if isinstance(batch, int) else 1, *shape), seed, dtype, batch)
    x = network.conv(network.input, **{**before, "kernel": (1, 1), "stride": (1, 1)})
    same_everywhere(network.model(network.depthwise(x, **options)), batch, ["Conv", "Conv"])


@given(st.integers(1, 90), dense, dense, DTYPE, BATCH, st.integers(0, 2**31))
@settings(max_examples=60)
def test_fully_connected_layers(inputs, options, more, dtype, batch, seed):
    network = Network((batch if isinstance(batch, int) else 1, inputs), seed, dtype, batch)
    layers = [options, more]
    x = network.input
    for layer in layers:
        x = network.dense(x, **layer)
    kinds = ["Gemm" if layer["bias"] or layer["transposed"] else "MatMul" for layer in layers]
    same_everywhere(network.model(x), batch, kinds)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("size", [1, 3, 4, 7, 16, 17])
def test_images_of_all_widths_enter_and_leave(dtype, size):
    """Rows of NCHW that are shorter than a vector, as long, and longer; groups of four channels that are not whole."""
    for channels in (3, 4, 5, 8):
        network = Network((2, channels, 5, size), 3, dtype)
        x = network.conv(network.input, channels + 1, zeros=0.3)
        same_everywhere(network.model(x), 2, ["Conv"])


def test_more_axes_than_rows():
    """A MatMul of a tensor of three axes; its last one is that of the inputs."""
    network = Network((2, 5, 24), 1)
    same_everywhere(network.model(network.dense(network.input, 33, bias=False)), 2, ["MatMul"])


def test_a_convolution_of_one_pixel_is_a_fully_connected_layer():
    network = Network((1, 32, 1, 1), 1, batch="n")
    x = network.conv(network.input, 70)
    same_everywhere(network.model(network.conv(x, 20)), "n", ["Conv", "Conv"])
