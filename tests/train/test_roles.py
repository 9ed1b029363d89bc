"""What each kind of layer is to int8 inference, and why a layer stays float."""

from __future__ import annotations

from typing import Any

import keras
import pytest
from keras import layers

from keras_sparse.train import roles
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.strip import FixedRange


@pytest.mark.parametrize(
    ("layer", "role"),
    [
        (layers.Dense(1), roles.WEIGHTED),
        (layers.Dense(1, activation="softmax"), roles.WEIGHTED),
        (layers.Conv2D(1, 1), roles.WEIGHTED),
        (layers.DepthwiseConv2D(1), roles.WEIGHTED),
        (layers.BatchNormalization(), roles.BATCH_NORM),
        (layers.ReLU(), roles.RELU),
        (layers.ReLU(6), roles.RELU),
        (layers.ReLU(6.0), roles.RELU),
        (layers.Activation("relu"), roles.RELU),
        (layers.Activation("relu6"), roles.RELU),
        (layers.Activation("linear"), roles.SAME),
        (layers.Activation("softmax"), roles.BOUNDED),
        (layers.Activation("sigmoid"), roles.BOUNDED),
        (layers.Activation("tanh"), roles.BOUNDED),
        (layers.Softmax(), roles.BOUNDED),
        (layers.MaxPooling2D(), roles.SAME),
        (layers.AveragePooling2D(2), roles.AVERAGED),
        (layers.GlobalAveragePooling2D(), roles.COMPUTED),
        (layers.Concatenate(), roles.SHARED),
        (layers.Flatten(), roles.SAME),
        (layers.Reshape((1,)), roles.SAME),
        (layers.Dropout(0.5), roles.SAME),
        (layers.ZeroPadding2D(), roles.SAME),
        (layers.InputLayer((1,)), roles.SAME),
        (ActivationRange(), roles.SAME),
        (FixedRange(-1.0, 1.0), roles.SAME),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_roles(layer: Any, role: str) -> None:
    assert roles.role(layer) == (role, None)


class Mine(layers.Dense):
    """A subclass may compute anything."""


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.ReLU(4), "only ReLU and ReLU6"),
        (layers.ReLU(negative_slope=0.1), "only ReLU and ReLU6"),
        (layers.ReLU(threshold=1.0), "only ReLU and ReLU6"),
        (layers.Activation("gelu"), "activation 'gelu' has no int8 kernel"),
        (layers.LeakyReLU(), "LeakyReLU is not among"),
        (layers.LayerNormalization(), "LayerNormalization is not among"),
        (layers.Conv1D(1, 1), "Conv1D is not among"),
        (layers.LSTM(1), "LSTM is not among"),
        (layers.Conv2DTranspose(1, 1), "Conv2DTranspose is not among"),
        (Mine(1), "Mine is not among"),
        (keras.Sequential([layers.Dense(1)]), "a model inside a model"),
        (layers.Conv2D(1, 1, data_format="channels_first"), "channels_first is not the layout"),
    ],
    ids=lambda each: "" if isinstance(each, str) else type(each).__name__,
)
def test_reasons_to_stay_float(layer: Any, reason: str) -> None:
    role, why = roles.role(layer)
    assert role == roles.FLOAT
    assert why is not None and reason in why


@pytest.mark.parametrize("kind", [layers.Add, layers.Multiply])
@pytest.mark.parametrize("inputs", [2, 3])
def test_sums_and_products_of_two(kind: Any, inputs: int) -> None:
    layer = kind()
    layer([keras.Input((2,)) for _ in range(inputs)])
    assert roles.role(layer)[0] == (roles.COMPUTED if inputs == 2 else roles.FLOAT)


def test_functions_are_float() -> None:
    model = keras.Model(inputs := keras.Input((2,)), keras.ops.gelu(inputs))
    (operation,) = (each for each in model.operations if not isinstance(each, layers.Layer))
    role, reason = roles.role(operation)
    assert role == roles.FLOAT
    assert "an operation of keras.ops, not a layer" in reason


def test_names_of_activations() -> None:
    def mine(x: Any) -> Any:
        return x

    assert roles.activation_name(keras.activations.relu) == "relu"
    assert roles.activation_name(None) == "linear"
    assert roles.activation_name(mine) == "mine"
    assert roles.activation_name(layers.LeakyReLU()) == "LeakyReLU"
    assert roles.activation_name(lambda x: x) == "lambda"


@pytest.mark.parametrize(("activation", "fused"), [("linear", 1), (None, 1), ("relu", 1), ("relu6", 1), ("tanh", 0)])
def test_what_is_fused(activation: Any, fused: bool) -> None:
    assert roles.fuses(layers.Dense(1, activation=activation)) == bool(fused)
