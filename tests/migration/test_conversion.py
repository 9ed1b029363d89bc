"""A model built again: names, what is int8, what was learned of which tensor."""

from __future__ import annotations

from typing import Any

import keras
import pytest

import keras_sparse as ks
from keras_sparse.migration import wrappers
from keras_sparse.migration.conversion import Conversion


def test_weights_that_would_stay_float(k2: Any, quantized: Any, noise: Any) -> None:
    model = k2.Sequential([k2.Input((6, 6, 3)), k2.layers.Conv2DTranspose(2, 3, name="up"), k2.layers.Conv2D(2, 1)])
    with pytest.raises(ValueError, match="Layer 'up': TFMOT quantizes its weights, and here they would stay float"):
        ks.from_tfmot(quantized(model, noise(2, 6, 6, 3)))


def test_lambdas_of_a_separable_conv1d(k2: Any, quantized: Any, noise: Any) -> None:
    model = k2.Sequential([k2.Input((6, 3)), k2.layers.SeparableConv1D(4, 3, name="sep")])
    with pytest.raises(ValueError, match=r"'sepconv1d_expand.*' \(Lambda\) has no Keras 3 layer"):
        ks.from_tfmot(quantized(model, noise(2, 6, 3)))


def test_what_is_noted(k2: Any, quantized: Any, noise: Any) -> None:
    la = k2.layers
    x = k2.Input((5,), name="x")
    shared = la.Dense(5, activation="relu", name="shared")
    old = quantized(k2.Model(x, la.Dense(2, activation="softmax", name="head")(shared(shared(x)))), noise(8, 5))
    conversion = Conversion()
    plain = conversion.model(old)
    assert [layer.name for layer in plain.layers] == ["x", "shared", "head"]
    assert conversion.quantizes and conversion.int8 == {"shared": True, "head": True}
    assert [call.layer.name for call in conversion.calls] == ["shared", "shared", "head"]
    assert conversion.inputs == [id(plain.input)] and conversion.calls[0].inputs == (id(plain.input),)
    first, second, last = (call.outputs[0] for call in conversion.calls)
    assert conversion.calls[2].inputs == (second,)
    learned = wrappers.learned(old.get_layer("quant_shared"))["output"]
    assert conversion.learned[first, "output"] == conversion.learned[second, "output"] == learned
    assert set(conversion.learned) == {
        (id(plain.input), "output"),
        (first, "output"),
        (second, "output"),
        (last, "raw"),
    }
    assert not any(isinstance(layer, keras.Sequential) for layer in plain.layers)


def test_a_plain_model_notes_nothing(k2: Any) -> None:
    conversion = Conversion()
    conversion.model(k2.Sequential([k2.Input((5,)), k2.layers.Dense(2)]))
    assert not conversion.quantizes and conversion.int8 == {} and conversion.learned == {}
