"""Layers whose arguments and weights agree, and whose outputs do not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.migration import same


def test_a_function_that_keras_3_has_changed(k2: Any) -> None:
    """In Keras 2 hard_sigmoid is clip(0.2 x + 0.5), in Keras 3 clip(x / 6 + 0.5)."""
    x = k2.Input((5,))
    for old in (
        k2.Sequential([k2.Input((5,)), k2.layers.Dense(4, activation="hard_sigmoid", name="hard")]),
        k2.Model(x, k2.layers.Dense(4, activation="hard_sigmoid", name="hard")(x)),
    ):
        with pytest.raises(
            ValueError, match=r"'hard' \(Dense\) computes something else in Keras 3.*difference of 0\.0"
        ):
            ks.from_tfmot(old)


def test_other_weights_other_shapes_and_nan(k2: Any) -> None:
    inputs, whole = keras.Input((3,)), keras.Input((None, 3))
    old, new = k2.layers.Dense(2, name="one"), keras.layers.Dense(2)
    old(np.zeros((1, 3))), new(inputs)
    with pytest.raises(ValueError, match=r"'one'.*a difference of"):
        same.check(old, new, inputs, {})
    new.set_weights(old.get_weights())
    same.check(old, new, inputs, {})
    same.check(old, new, whole, {})
    wider = keras.layers.Dense(3)
    wider(inputs)
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(2, 2\)"):
        same.check(old, wider, inputs, {})
    new.set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    with pytest.raises(ValueError, match="a difference of nan"):
        same.check(old, new, inputs, {})


def test_what_cannot_be_run_is_not_held_against_it_and_said(k2: Any) -> None:
    """An Embedding of one word does not take the number 1."""
    ids = keras.Input((4,), dtype="int32")
    old, new = k2.layers.Embedding(1, 3), keras.layers.Embedding(1, 3)
    old(np.zeros((1, 4), np.int32)), new(ids)
    new.set_weights(old.get_weights())
    with pytest.warns(UserWarning, match=rf"'{old.name}' \(Embedding\) was not held against .* shapes \[\(2, 4\)\]"):
        same.check(old, new, ids, {})
