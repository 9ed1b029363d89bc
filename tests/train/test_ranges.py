"""Activation ranges: the first batch sets them, later ones move them, and off they do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_sparse.train.fake_quant import quantize_activation
from keras_sparse.train.ranges import ActivationRange

BATCHES = [np.float32([[-1.0, 3.0]]), np.float32([[-2.0, 1.0]]), np.float32([[0.5, 4.0]])]


def limits(layer: ActivationRange) -> tuple[float, float]:
    low, high = layer.limits()
    return float(low), float(high)


def built(**arguments: Any) -> ActivationRange:
    layer = ActivationRange(**arguments)
    layer.build((None, 2))
    layer.active.assign(1.0)
    layer.learning.assign(1.0)
    return layer


def test_off_it_is_an_identity() -> None:
    layer = built()
    layer.active.assign(0.0)
    layer.learning.assign(0.0)
    for x in BATCHES:
        np.testing.assert_array_equal(layer(x, site=0, training=True), x)
    assert not bool(layer.started)


def test_not_started_it_is_an_identity() -> None:
    np.testing.assert_array_equal(built()(BATCHES[0], site=0, training=False), BATCHES[0])


def test_the_first_batch_sets_the_range_and_later_ones_move_it() -> None:
    layer = built(momentum=0.9)
    layer(BATCHES[0], site=0, training=True)
    assert limits(layer) == (-1.0, 3.0)
    layer(BATCHES[1], site=0, training=True)
    assert limits(layer) == pytest.approx((0.9 * -1 + 0.1 * -2, 0.9 * 3 + 0.1 * 1))
    layer(BATCHES[2], site=0, training=True)
    assert limits(layer) == pytest.approx((0.9 * -1.1 + 0.1 * 0, 0.9 * 2.8 + 0.1 * 4))  # a range holds 0


def test_the_default_is_slow_but_starts_at_once() -> None:
    layer = built()
    layer(100 * BATCHES[0], site=0, training=True)
    assert limits(layer) == (-100.0, 300.0)
    layer(BATCHES[0], site=0, training=True)
    assert limits(layer) == pytest.approx((-99.01, 297.03))


@pytest.mark.parametrize(
    ("x", "wanted"), [([[1.0, 2.0]], (0.0, 2.0)), ([[-2.0, -1.0]], (-2.0, 0.0)), ([[0.0, 0.0]], (0.0, 1e-6))]
)
def test_a_range_holds_zero_and_is_not_empty(x: Any, wanted: tuple[float, float]) -> None:
    layer = built()
    outputs = layer(np.float32(x), site=0, training=True)
    assert limits(layer) == pytest.approx(wanted)
    assert np.isfinite(np.asarray(outputs)).all()


def test_inference_and_frozen_ranges_learn_nothing() -> None:
    layer = built()
    layer(BATCHES[0], site=0, training=True)
    layer(10 * BATCHES[1], site=0, training=False)
    layer(10 * BATCHES[1], site=0)
    layer(10 * BATCHES[1], training=True)  # what comes out of an average on the same range
    layer.learning.assign(0.0)
    layer(10 * BATCHES[1], site=0, training=True)
    assert limits(layer) == (-1.0, 3.0)
    assert float(layer.batches[0]) == 1.0


def test_values_are_rounded_to_256_levels() -> None:
    layer = built()
    x = np.linspace(-1.0, 3.0, 1001, dtype=np.float32)[None]
    outputs = np.asarray(layer(x, site=0, training=True))
    assert len(np.unique(outputs)) == 256
    assert np.abs(outputs - x).max() <= 4 / 255 / 2 + 4 / 255 / 2  # half a step, and the nudge of zero
    assert np.asarray(layer(np.float32([[0.0, 99.0]]), training=False)).tolist()[0][0] == 0.0


def test_sites_share_the_union_of_what_each_has_learned() -> None:
    layer = built(sites=2, momentum=0.5)
    np.testing.assert_array_equal(layer(BATCHES[0], site=0, training=True), BATCHES[0])  # the other is to come
    assert not bool(layer.started)
    layer(BATCHES[1], site=1, training=True)
    assert bool(layer.started)
    assert limits(layer) == (-2.0, 3.0)
    layer(BATCHES[1], site=0, training=True)
    assert limits(layer) == (-2.0, 2.0)


def test_saved_and_loaded(tmp_path: Path) -> None:
    layer = built(sites=2, momentum=0.5)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layer(layer(inputs, site=0), site=1))
    layer(BATCHES[0], site=0, training=True)
    layer(BATCHES[1], site=1, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    (again,) = (each for each in loaded.layers if isinstance(each, ActivationRange))
    assert limits(again) == limits(layer)
    assert (again.sites, again.momentum) == (2, 0.5)
    np.testing.assert_array_equal(loaded(BATCHES[2]), model(BATCHES[2]))
    again(BATCHES[2], site=0, training=True)
    layer(BATCHES[2], site=0, training=True)
    assert limits(again) == limits(layer)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_limits_are_float32_in_every_precision(policy: str) -> None:
    """An average with a weight of 0.99 would not move in half precision."""
    keras.config.set_dtype_policy(policy)
    dtype = keras.config.dtype_policy().compute_dtype
    layer = built()
    x = keras.ops.cast(BATCHES[0], dtype)
    for _ in range(3):
        assert keras.backend.standardize_dtype(layer(x, site=0, training=True).dtype) == dtype
    layer(keras.ops.cast(BATCHES[0] * 1.5, dtype), site=0, training=True)
    assert limits(layer) == pytest.approx((-1.005, 3.015), rel=1e-6)
    assert keras.backend.standardize_dtype(layer(keras.Input((2,), dtype=dtype)).dtype) == dtype


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
@pytest.mark.parametrize(("active", "learning"), [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)])
def test_values_and_gradients_are_those_of_the_branch_taken(active: float, learning: float, how: str) -> None:
    layer = built()
    layer(np.float32([[-1.0, 3.0]]), site=0, training=True)
    layer.active.assign(active)
    layer.learning.assign(learning)
    x = tf.constant([[-5.0, -0.51, 0.0, 0.1, 2.0, 77.0]])
    upstream = tf.constant([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])

    def run(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, site=0, training=True)
        return y, tape.gradient(y, x, upstream)

    outputs, gradient = (run if how == "eager" else tf.function(run, jit_compile=how == "XLA"))(x)
    if not active:
        np.testing.assert_array_equal(outputs, x)
        np.testing.assert_array_equal(gradient, upstream)
        assert limits(layer) == (-1.0, 3.0)
        return
    wanted = (0.99 * -1 + 0.01 * -5, 0.99 * 3 + 0.01 * 77) if learning else (-1.0, 3.0)
    assert limits(layer) == pytest.approx(wanted)
    np.testing.assert_allclose(outputs, quantize_activation(x, *limits(layer)), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(gradient, [[0.0, 2.0, 3.0, 4.0, 5.0, 0.0]])


def test_what_is_off_reads_no_activations() -> None:
    """All that works on them lies in branches: outside, nothing is as large as they are but what passes them on."""
    layer = built()
    function = tf.function(lambda x: layer(x, site=0, training=True))
    graph = function.get_concrete_function(tf.TensorSpec((64, 7), "float32")).graph
    large = {op.type for op in graph.get_operations() for each in op.outputs if each.shape == (64, 7)}
    assert large <= {"Placeholder", "If", "StatelessIf", "Identity"}
    reading = [op.type for op in graph.get_operations() for each in op.inputs if each.shape == (64, 7)]
    assert set(reading) <= {"If", "StatelessIf", "Identity"}
