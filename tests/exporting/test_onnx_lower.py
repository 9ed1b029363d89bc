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


def of_operation(name):
    inputs = keras.Input((16,))
    return keras.Model(inputs, getattr(keras.ops, name)(inputs)), 0.9


BUILDS = {"gelu": of_activation, "celu": of_activation, "log1p": of_operation, "expm1": of_operation}


@pytest.mark.parametrize("name", BUILDS)
def test_the_outputs_are_the_models(name, tmp_path):
    model, largest = BUILDS[name](name)
    samples = np.random.default_rng(0).uniform(-largest, largest, (64, *model.input_shape[1:])).astype("float32")
    report = ks.export(model, tmp_path / "m.onnx", samples=samples).report
    assert report.verification[0].largest < 1e-5
