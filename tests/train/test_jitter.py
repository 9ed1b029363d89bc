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
    found = jitter.static(plain)
    ours, theirs = found.predict(x, verbose=0), plain.predict(x, verbose=0)
    off = np.abs(ours - theirs).max()
    spread = max(each.high - each.low for each in fixed_ranges(plain))
    assert 0 < off < spread


@pytest.mark.parametrize("end", [layers.Softmax, lambda: layers.Activation("tanh"), lambda: layers.ReLU()])
def test_any_end_of_a_model_is_static(end: Any, trained: Any, vectors: Any) -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="d"), end()])
    plain = ks.strip(trained(model, x=vectors[0], y=vectors[1]))
    assert jitter.static(plain)(vectors[0]).shape == (64, 3)


def test_a_dynamic_level_is_that_of_the_item() -> None:
    moved = jitter.DynamicJitter(-1)(np.float32([[1.27, 0.0], [127.0, 127.0]]))
    steps = (np.asarray(moved) - [[1.27, 0.0], [127.0, 127.0]]) / [[0.01], [1.0]]
    assert np.abs(steps - np.rint(steps)).max() < 1e-4
    assert np.abs(steps).max() <= 1.0001


def test_only_the_inputs_of_dense_layers_and_convolutions_are_dynamic() -> None:
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = keras.Model(inputs, layers.Dense(3, name="dense")(x))
    found = jitter.dynamic(model)
    assert sum(isinstance(layer, jitter.DynamicJitter) for layer in found.layers) == 2
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype("float32")
    off = np.abs(np.asarray(found(x)) - np.asarray(model(x))).max()
    assert 0 < off < 0.1


def test_a_half_model_is_off_by_what_float16_rounds() -> None:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="relu"), layers.Dense(3)])
    before = [np.array(v) for v in model.weights]
    x = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
    off = np.abs(np.asarray(jitter.half(model)(x)) - np.asarray(model(x))).max()
    assert 1e-5 < off < 2e-2
    for (_, new), old in zip(jitter.half_weights(model), before, strict=True):
        assert np.all(np.abs(old - new) <= jitter.HALF * np.abs(old) * 1.001)
        assert not old.any() or (old != new).any()
