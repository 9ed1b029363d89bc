"""A model called batch by batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_sparse.train import batches, graph


def test_outputs_are_those_of_predict() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    x = layers.Dropout(0.5)(layers.Concatenate()([layers.Dense(5)(a), b]))
    model = keras.Model({"a": a, "b": b}, [layers.Dense(2)(x), layers.Dense(1)(x)])
    generator = np.random.default_rng(0)
    given = {
        "a": generator.normal(size=(70, 4)).astype("float32"),
        "b": generator.normal(size=(70, 3)).astype("float32"),
    }
    for ours, theirs in zip(batches.outputs(model, given), model.predict(given, verbose=0), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_one_array_is_enough_for_one_input() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    x = np.ones((3, 4), np.float32)
    np.testing.assert_array_equal(batches.outputs(keras.Model(model.inputs[0], model.outputs[0]), x)[0], model(x))


def test_tensors_are_samples_too() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    x = keras.random.normal((3, 4))
    np.testing.assert_allclose(batches.outputs(model, x)[0], model(x), rtol=1e-6)


def test_a_layer_may_be_computed_otherwise() -> None:
    inputs = keras.Input((4,))
    x = layers.Dense(5, name="first")(inputs)
    model = keras.Model(inputs, [layers.Concatenate()([x, layers.Dropout(0.5)(x)]), x])
    seen = []

    def compute(call: Any, args: Any, kwargs: Any) -> Any:
        seen.append(call.layer.name)
        made = graph.at_inference(call.layer, args, kwargs)
        return 2 * made if call.layer.name == "first" else made

    given = np.random.default_rng(0).normal(size=(70, 4)).astype("float32")
    made = batches.computed(model, given, compute)
    for ours, theirs in zip(made, model.predict(given, verbose=0), strict=True):
        np.testing.assert_allclose(ours, 2 * theirs, rtol=1e-5)
    assert len(seen) == 3 * 3  # in batches of 32


@pytest.mark.parametrize(
    ("samples", "error", "message"),
    [
        ("x.npy", TypeError, "must be an array.* Received: samples of type str"),
        ((row for row in np.ones((4, 3))), TypeError, "Received: samples of type generator"),
        ([[1.0, 2.0]], TypeError, r"Received: samples\[0\] of type float"),
        (np.float32(3), TypeError, "of type float32"),
        (np.ones((0, 3)), ValueError, r"At least one sample is needed. Received: samples of shape \(0, 3\)"),
        ({"a": np.ones(2), "b": np.array(["x", "y"])}, ValueError, r"samples\['b'\] must be numbers. Received: <U1"),
        (np.array([[1.0, np.nan]]), ValueError, "samples must be finite"),
        ([np.ones(2), np.array([1.0, np.inf])], ValueError, r"samples\[1\] must be finite"),
        ([np.ones(2), np.ones(3)], ValueError, r"as many items. Received: \[2, 3\]"),
    ],
)
def test_what_nothing_can_be_measured_on_is_refused(samples: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        batches.check(samples)


def test_samples_by_other_names_and_too_few_are_refused() -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([a, b]))
    with pytest.raises(ValueError, match=r"by name are \['a', 'b'\]. Received: \['a', 'c'\]"):
        batches.in_order(model, {"a": np.ones((1, 4)), "c": np.ones((1, 3))})
    with pytest.raises(ValueError, match=r"must be 2 arrays, for \['a', 'b'\]. Received: 1"):
        batches.in_order(model, np.ones((1, 4)))
