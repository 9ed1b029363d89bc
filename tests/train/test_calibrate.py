"""Quantization without training: ranges are those that samples reach."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.train.strip import fixed_ranges, stripped


def test_ranges_are_the_extremes_of_the_float_activations(mlp: Any, vectors: Any, ranges: Any) -> None:
    model, (x, _) = mlp(), vectors
    hidden = model.get_layer("dense1")(x)
    found = sorted(ranges(ks.calibrate(model, x)).values())
    wanted = sorted((min(0.0, float(np.min(v))), max(0.0, float(np.max(v)))) for v in (x, hidden, model(x)))
    assert found == [pytest.approx(each, rel=1e-5) for each in wanted]


def test_ranges_are_those_of_all_batches_and_of_inference(cnn: Any, ranges: Any) -> None:
    """More samples than a batch of `predict`; Dropout and the BatchNorm's batch statistics play no part."""
    model = cnn()
    x = np.random.default_rng(0).normal(size=(100, 6, 6, 3)).astype(np.float32)
    x[70] *= 10
    once, twice = ranges(ks.calibrate(model, x)), ranges(ks.calibrate(model, x))
    assert once == twice
    assert any(pair == pytest.approx((float(x.min()), float(x.max()))) for pair in once.values())


def test_a_shared_range_holds_all_that_share_it() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    model = keras.Model([a, b], layers.Dense(2, name="head")(layers.Concatenate()([a, b])))
    rng = np.random.default_rng(0)
    x = [rng.uniform(0, 1, (16, 4)).astype(np.float32), rng.uniform(-50, 0, (16, 4)).astype(np.float32)]
    plain = ks.strip(ks.calibrate(model, x))
    shared = {(each.low, each.high) for each in fixed_ranges(plain) if "head" not in each.name}
    assert shared == {(float(x[1].min()), float(x[0].max()))}


def test_the_result_is_quantized_and_the_model_is_not_changed(mlp: Any, vectors: Any) -> None:
    model = mlp()
    before, predictions = model.get_weights(), np.asarray(model(vectors[0]))
    calibrated = ks.calibrate(model, vectors[0])
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model(vectors[0]), predictions)
    parts = stripped(calibrated)
    assert all(tensor.values.dtype == np.int8 for tensor in parts.tensors)
    found = np.asarray(calibrated(vectors[0]))
    assert 0 < np.abs(found - predictions).max() < 0.05 * np.abs(predictions).max()
    np.testing.assert_allclose(parts.model(vectors[0]), found, rtol=1e-5, atol=1e-6)


def test_zeros_stay(mlp: Any, vectors: Any) -> None:
    model = mlp()
    kernel = model.get_layer("dense1").kernel
    mask = np.random.default_rng(0).random(kernel.shape) < 0.3
    kernel.assign(kernel * mask)
    np.testing.assert_array_equal(stripped(ks.calibrate(model, vectors[0])).tensors[0].values != 0, mask)


def test_only_what_matches(mlp: Any, vectors: Any) -> None:
    parts = stripped(ks.calibrate(mlp(), vectors[0], match="dense2/*"))
    assert [tensor.values.dtype for tensor in parts.tensors] == [np.float32, np.int8]
    with pytest.raises(ValueError, match="can be int8, and"):
        ks.calibrate(mlp(), vectors[0], match="conv*")


def test_it_may_be_trained_further(mlp: Any, vectors: Any, ranges: Any) -> None:
    model = ks.calibrate(mlp(), vectors[0])
    before = ranges(model)
    recipe = ks.Recipe([ks.Quantize()])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(*vectors, batch_size=8, verbose=0, callbacks=[ks.Sparsify(recipe)])
    for name, (low, high) in ranges(model).items():
        assert (low, high) != before[name]
        assert (low, high) == pytest.approx(before[name], rel=0.2, abs=0.2)  # it moves on from there
