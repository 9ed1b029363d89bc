"""Models in half precision, as models in float32."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_sparse.train import precision


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_every_layer_computes_in_float32_with_the_same_weights(policy: str) -> None:
    inner = keras.Sequential([keras.Input((5, 4)), layers.Bidirectional(layers.LSTM(3, dtype=policy), dtype=policy)])
    model = keras.Sequential([keras.Input((5, 4)), inner, layers.Dense(2, dtype="float32")])
    assert precision.half_layers(model)
    made = precision.in_float32(model)
    assert precision.half_layers(made) == []
    for ours, theirs in zip(made.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x = np.random.default_rng(0).normal(size=(4, 5, 4)).astype("float32")
    np.testing.assert_allclose(made(x), model(x), atol=0.02)


def test_a_model_in_float32_is_left_as_it_is() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    assert precision.in_float32(model) is model
