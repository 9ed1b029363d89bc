"""How far rounding alone may move a model's outputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.train import jitter
from keras_sparse.train.strip import fixed_ranges


@pytest.mark.parametrize("name", ["cnn", "residual", "mlp"])
def test_a_static_model_is_off_by_levels_not_more(name: str, request: Any, trained: Any) -> None:
    x, y = request.getfixturevalue("vectors" if name == "mlp" else "images")
    model = trained(request.getfixturevalue(name)(), ks.Recipe([ks.Quantize()]), x, y)
    plain = ks.strip(model)
    (ours,), theirs = jitter.static(plain, x), plain.predict(x, verbose=0)
    off = np.abs(ours - theirs).max()
    spread = max(each.high - each.low for each in fixed_ranges(plain))
    assert 0 < off < spread


@pytest.mark.parametrize("end", [layers.Softmax, lambda: layers.Activation("tanh"), lambda: layers.ReLU()])
def test_any_end_of_a_model_is_static(end: Any, trained: Any, vectors: Any) -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="d"), end()])
    plain = ks.strip(trained(model, x=vectors[0], y=vectors[1]))
    (moved,) = jitter.static(plain, vectors[0])
    assert moved.shape == (64, 3) and np.abs(moved - plain.predict(vectors[0], verbose=0)).max() > 0


def test_a_dynamic_level_is_that_of_the_item() -> None:
    x = np.float32([[1.27, 0.0], [127.0, 127.0]])
    level = np.asarray(jitter.dynamic_level(x, -1))
    np.testing.assert_allclose(level, [[0.01], [1.0]])
    steps = (np.asarray(jitter.Jitter()(x, level)) - x) / level
    assert np.abs(steps - np.rint(steps)).max() < 1e-4
    assert 0 < np.abs(steps).max() <= 1.0001


def test_only_the_inputs_of_dense_layers_and_convolutions_are_dynamic() -> None:
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = keras.Model(inputs, layers.Dense(3, name="dense")(x))
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("float32")
    (moved,) = jitter.dynamic(model, x)
    assert 0 < np.abs(moved - np.asarray(model(x))).max() < 0.1
    head = keras.Model(inputs, model.get_layer("dense").input)
    model.get_layer("conv").kernel.assign(np.zeros((3, 3, 2, 4)))
    assert not jitter.dynamic(head, x)[0].any()  # nothing else is moved


def test_a_half_model_is_off_by_what_float16_rounds() -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(3)])
    before = [np.array(v) for v in model.weights]
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    off = np.abs(jitter.half(model, x)[0] - np.asarray(model(x))).max()
    assert 1e-5 < off < 2e-2
    for (_, new), old in zip(jitter.half_weights(model), before, strict=True):
        assert np.all(np.abs(old - new) <= jitter.HALF * np.abs(old) * 1.001)
        assert not old.any() or (old != new).any()
