"""Operations that tf2onnx leaves: the model's outputs, in ONNX Runtime."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks


def of_activation(name):
    model = keras.Sequential([keras.Input((5,)), layers.Dense(16, activation=name)])
    return model, 5.0


def of_operation(function):
    inputs = keras.Input((16,))
    return keras.Model(inputs, function(inputs)), 0.9


@pytest.mark.parametrize(
    ("build", "given"),
    [
        (of_activation, "gelu"),
        (of_activation, "celu"),
        (of_operation, keras.ops.log1p),
        (of_operation, keras.ops.expm1),
    ],
    ids=["gelu", "celu", "log1p", "expm1"],
)
def test_the_outputs_are_the_models(build, given, tmp_path):
    model, largest = build(given)
    samples = np.random.default_rng(0).uniform(-largest, largest, (64, *model.input_shape[1:])).astype("float32")
    (verification,) = ks.export(model, tmp_path / "m.onnx", samples=samples).report.verification
    assert verification.largest < 1e-5
