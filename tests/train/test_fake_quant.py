"""The int8 grid during training: bit for bit what NumPy does, and gradients straight through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_sparse import int8
from keras_sparse.layout import CONV_2D, DENSE, DEPTHWISE_2D, Layout
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.train.fake_quant import quantize_activation, quantize_kernel

LAYOUTS = {"Dense": (DENSE, (7, 5)), "Conv2D": (CONV_2D, (3, 3, 4, 5)), "DepthwiseConv2D": (DEPTHWISE_2D, (3, 3, 5, 2))}
magnitudes = st.floats(2.0**-60, 2.0**60, width=32)
values = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda value: -value))


def run(layout: Layout, how: str) -> Callable[[Any], Any]:
    def function(kernel: Any) -> Any:
        return quantize_kernel(kernel, layout.channel_axes)

    return {
        "eager": function,
        "graph": tf.function(function),
        "XLA": tf.function(function, jit_compile=True),
    }[how]


def kernels(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Kernels of many kinds: normal, sparse, of one value, with a dead channel, of very different scales."""
    rng = np.random.default_rng(0)
    made = [rng.normal(size=shape) for _ in range(20)]
    made += [rng.normal(size=shape) * (rng.random(shape) < 0.2) for _ in range(5)]
    made += [np.zeros(shape), np.ones(shape), -np.ones(shape)]
    made.append(rng.normal(size=shape) * (np.arange(shape[-1]) > 0))
    made.append(rng.normal(size=shape) * 10.0 ** np.linspace(-12, 12, shape[-1]))
    made.append(rng.integers(-127, 128, shape) * 0.5)  # exact halves and levels
    return [each.astype(np.float32) for each in made]


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_it_is_bit_for_bit_what_is_stored(name: str, how: str) -> None:
    layout, shape = LAYOUTS[name]
    function = run(layout, how)
    for kernel in kernels(shape):
        ours = np.asarray(function(tf.constant(kernel)))
        stored = SparseTensor.quantized("k", kernel, layout)
        np.testing.assert_array_equal(ours, stored.dense())
        np.testing.assert_array_equal(ours == 0, kernel == 0)


@given(hnp.arrays(np.float32, (6, 4), elements=values))
def test_zero_is_zero_and_nothing_else_is(kernel: np.ndarray) -> None:
    ours = np.asarray(quantize_kernel(tf.constant(kernel), DENSE.channel_axes))
    np.testing.assert_array_equal(ours == 0, kernel == 0)
    np.testing.assert_array_equal(ours, SparseTensor.quantized("k", kernel, DENSE).dense())


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("tiny", [1e-45, 1e-40, 1e-38])
def test_numbers_too_small_to_divide_stay_small(tiny: float, how: str) -> None:
    """Whether they are flushed to zero is up to the processor; they must not become anything else."""
    ours = np.asarray(run(DENSE, how)(tf.constant(np.float32([[tiny, 1.0], [-tiny, 0.5]]))))
    assert np.isfinite(ours).all()
    assert np.abs(ours[:, 0]).max() < 2e-38


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_gradient_is_passed_straight_through(name: str, jit: bool) -> None:
    layout, shape = LAYOUTS[name]
    upstream = np.random.default_rng(1).normal(size=shape).astype(np.float32)

    @tf.function(jit_compile=jit)
    def gradient(kernel: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            outputs = quantize_kernel(kernel, layout.channel_axes)
        return tape.gradient(outputs, kernel, upstream)

    for kernel in kernels(shape)[::7]:
        np.testing.assert_array_equal(np.asarray(gradient(tf.constant(kernel))), upstream)


def test_a_variable_is_taken_eagerly_too() -> None:
    """Models are called outside of `fit`, and debugged with run_eagerly=True."""
    variable = keras.Variable(np.float32([[1.0, -0.3], [0.0, 0.2]]))
    with tf.GradientTape() as tape:
        outputs = keras.ops.sum(quantize_kernel(variable, (1,)))
    np.testing.assert_array_equal(np.asarray(tape.gradient(outputs, variable.value)), np.ones((2, 2)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_the_dtype_stays(dtype: str) -> None:
    outputs = quantize_kernel(keras.ops.convert_to_tensor(np.float32([[1.0, 0.0], [0.01, -2.0]]), dtype=dtype), (1,))
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    found = np.asarray(keras.ops.cast(outputs, "float32"))
    np.testing.assert_allclose(found, [[1.0, 0.0], [1 / 127, -2.0]], rtol=1e-2)


# Activations


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 6.0), (-1.0, 1.0), (-0.3, 2.1), (-5.0, 0.0), (0.0, 1e-6), (-127.5, 127.5), (-126.5, 128.5), (-100.0, 0.5)],
)
@pytest.mark.parametrize("jit", [False, True])
def test_activations_are_on_the_levels_of_their_range(low: float, high: float, jit: bool) -> None:
    """An oracle from the scale and the zero point that an exporter would write."""
    scale, zero = int8.range_parameters(low, high)
    x = np.concatenate([np.linspace(low * 1.5 - 1e-9, high * 1.5, 997), [0.0]]).astype(np.float32)

    function = tf.function(lambda each: quantize_activation(each, low, high), jit_compile=jit)
    found = np.asarray(function(tf.constant(x))).astype(np.float64) / float(scale)
    levels = np.rint(found)
    np.testing.assert_allclose(found, levels, atol=2e-3)
    assert levels.min() == -128 - zero
    assert levels.max() == 127 - zero
    assert abs(found[-1]) <= 1e-4 * jit  # zero is exact, but for what XLA fuses
    exact = np.clip(x / float(scale), -128 - zero, 127 - zero)
    assert np.abs(found - exact).max() <= 0.5 + 2e-3


@given(st.floats(-100, 0, width=32), st.floats(0.0625, 100, width=32))
def test_the_zero_point_is_that_of_the_training_graph(low: float, high: float) -> None:
    scale, zero = int8.range_parameters(low, high)
    lowest, highest = np.asarray(quantize_activation(tf.constant([-1e6, 1e6]), low, high)).tolist()
    assert lowest / float(scale) == pytest.approx(-128 - zero, abs=1e-2)
    assert highest / float(scale) == pytest.approx(127 - zero, abs=1e-2)


def test_gradients_of_activations_pass_within_the_range_only() -> None:
    x = tf.constant([-2.0, -0.5, 0.0, 0.5, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = quantize_activation(x, -1.0, 1.0)
    assert np.asarray(tape.gradient(outputs, x)).tolist() == [0, 1, 1, 1, 0]
