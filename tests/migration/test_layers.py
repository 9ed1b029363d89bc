"""One layer of Keras 2 at a time: the same numbers out of Keras 3, or an error that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.migration import layers

IMAGE, SEQUENCE, VECTOR = (8, 8, 3), (6, 4), (5,)

CASES: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "Dense": (VECTOR, lambda la: la.Dense(4, activation="gelu", kernel_regularizer="l2")),
    "Dense without bias": (VECTOR, lambda la: la.Dense(4, use_bias=False)),
    "Conv2D": (IMAGE, lambda la: la.Conv2D(4, (3, 2), strides=2, padding="same", dilation_rate=1)),
    "Conv2D in groups": (IMAGE, lambda la: la.Conv2D(6, 3, groups=3)),
    "DepthwiseConv2D": (IMAGE, lambda la: la.DepthwiseConv2D(3, depth_multiplier=2, kernel_constraint="max_norm")),
    "SeparableConv2D": (IMAGE, lambda la: la.SeparableConv2D(4, 3)),
    "Conv2DTranspose": (IMAGE, lambda la: la.Conv2DTranspose(4, 3, strides=2)),
    "Conv1D": (SEQUENCE, lambda la: la.Conv1D(4, 3, padding="causal")),
    "DepthwiseConv1D": (SEQUENCE, lambda la: la.DepthwiseConv1D(3)),
    "BatchNormalization": (IMAGE, lambda la: la.BatchNormalization(epsilon=0.01)),
    "BatchNormalization without scale": (IMAGE, lambda la: la.BatchNormalization(scale=False)),
    "SyncBatchNormalization": (IMAGE, lambda la: la.BatchNormalization(synchronized=True)),
    "LayerNormalization": (SEQUENCE, lambda la: la.LayerNormalization()),
    "LeakyReLU": (VECTOR, lambda la: la.LeakyReLU(0.25)),
    "ReLU": (VECTOR, lambda la: la.ReLU(6.0, negative_slope=0.1, threshold=0.05)),
    "PReLU": (VECTOR, lambda la: la.PReLU(alpha_initializer="ones")),
    "Softmax": (VECTOR, lambda la: la.Softmax()),
    "Activation": (VECTOR, lambda la: la.Activation("swish")),
    "MaxPooling2D": (IMAGE, lambda la: la.MaxPooling2D(2, padding="same")),
    "AveragePooling2D": (IMAGE, lambda la: la.AveragePooling2D()),
    "GlobalAveragePooling2D": (IMAGE, lambda la: la.GlobalAveragePooling2D(keepdims=True)),
    "UpSampling2D": (IMAGE, lambda la: la.UpSampling2D(interpolation="bilinear")),
    "ZeroPadding2D": (IMAGE, lambda la: la.ZeroPadding2D(((0, 1), (2, 0)))),
    "Reshape": (IMAGE, lambda la: la.Reshape((4, -1))),
    "Permute": (IMAGE, lambda la: la.Permute((2, 1, 3))),
    "Rescaling": (IMAGE, lambda la: la.Rescaling(1 / 255, offset=-1)),
    "LSTM": (SEQUENCE, lambda la: la.LSTM(3, return_sequences=True, dropout=0.2)),
    "GRU": (SEQUENCE, lambda la: la.GRU(3)),
    "Bidirectional": (SEQUENCE, lambda la: la.Bidirectional(la.LSTM(3))),
    "TimeDistributed": (SEQUENCE, lambda la: la.TimeDistributed(la.Dense(3))),
    "TimeDistributed LeakyReLU": (SEQUENCE, lambda la: la.TimeDistributed(la.LeakyReLU(0.25))),
    "Dropout": (VECTOR, lambda la: la.Dropout(0.5)),
    "frozen": (IMAGE, lambda la: la.BatchNormalization(trainable=False)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_numbers(case: str, k2: Any, noise: Any, on_arrays: Any) -> None:
    shape, build = CASES[case]
    layer = build(k2.layers)
    old = k2.Sequential([k2.Input(shape), layer])
    rng = np.random.default_rng(3)
    old.set_weights([rng.uniform(0.1, 1, each.shape) for each in old.get_weights()])  # variances are positive
    new = ks.from_tfmot(old)
    assert type(new) is keras.Sequential and new.layers[0].trainable == layer.trainable
    assert new.layers[0].name == layer.name and new.name == old.name
    for ours, theirs in zip(sorted_shapes(new), sorted_shapes(old), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    x = noise(4, *shape)
    np.testing.assert_allclose(on_arrays(new, x)[0], on_arrays(old, x)[0], rtol=1e-5, atol=1e-5)


def sorted_shapes(model: Any) -> list[np.ndarray]:
    return sorted(model.get_weights(), key=lambda each: (each.shape, each.tobytes()))


def test_integers_and_attention(k2: Any, on_arrays: Any) -> None:
    ids = k2.Input((6,), dtype="int32")
    x = k2.layers.Embedding(10, 8, input_length=6)(ids)
    x = k2.layers.MultiHeadAttention(2, 4)(x, value=x)
    old = k2.Model(ids, k2.layers.GlobalAveragePooling1D()(x))
    items = np.arange(12, dtype=np.int32).reshape(2, 6) % 10
    np.testing.assert_allclose(on_arrays(ks.from_tfmot(old), items)[0], on_arrays(old, items)[0], rtol=1e-5, atol=1e-6)


def test_a_normalization_that_was_adapted(k2: Any, on_arrays: Any) -> None:
    x = np.random.default_rng(0).normal(3, 2, (16, 4)).astype(np.float32)
    layer = k2.layers.Normalization()
    layer.adapt(x)
    fixed = k2.layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 2.0, 3.0, 4.0])
    for each in (layer, fixed):
        old = k2.Sequential([k2.Input((4,)), each, k2.layers.Dense(2)])
        np.testing.assert_allclose(on_arrays(ks.from_tfmot(old), x)[0], on_arrays(old, x)[0], rtol=1e-5, atol=1e-5)


def test_a_layer_that_keras_3_does_not_call(k2: Any) -> None:
    class Own(k2.layers.Layer):
        def call(self, inputs: Any, scale: float = 1.0) -> Any:
            return inputs * scale

    class Own3(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    x = k2.Input((4,))
    old = k2.Model(x, Own(name="mine")(x, scale=2.0))
    with (
        keras.saving.custom_object_scope({"Own": Own3}),
        pytest.raises(ValueError, match="'mine' is not called in Keras 3"),
    ):
        ks.from_tfmot(old)


def test_half_precision_is_kept(k2: Any) -> None:
    old = k2.Sequential([k2.Input((5,)), k2.layers.Dense(3, dtype=k2.mixed_precision.Policy("mixed_float16"))])
    (layer,) = ks.from_tfmot(old).layers
    assert (layer.compute_dtype, layer.variable_dtype) == ("float16", "float32")


def test_slashes_in_names(k2: Any) -> None:
    old = k2.Sequential([k2.Input((5,)), k2.layers.Dense(3, name="block/dense")], name="the/model")
    new = ks.from_tfmot(old)
    assert (new.name, new.layers[0].name) == ("the_model", "block_dense")


def test_a_class_of_the_users_own(k2: Any, noise: Any, on_arrays: Any) -> None:
    class Twice(k2.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    old = k2.Sequential([k2.Input((5,)), Twice(name="mine")])
    with pytest.raises(ValueError, match=r"'mine' \(Twice\) has no Keras 3 layer .*custom_object_scope"):
        ks.from_tfmot(old)

    class Twice3(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    with keras.saving.custom_object_scope({"Twice": Twice3}):
        new = ks.from_tfmot(old)
    np.testing.assert_array_equal(on_arrays(new, noise(3, 5))[0], 2 * noise(3, 5))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda k2: k2.layers.Lambda(lambda x: x + 1, name="plus"), r"'plus' \(Lambda\).*Python code"),
        (lambda k2: k2.layers.ThresholdedReLU(name="old"), r"'old' \(ThresholdedReLU\) has no Keras 3 layer"),
        (
            lambda k2: k2.layers.Activation(lambda x: x, name="act"),
            r"'act' \(Activation\) has no Keras 3 layer that computes the same: .*activation",
        ),
    ],
)
def test_what_keras_3_does_not_have(build: Any, message: str, k2: Any) -> None:
    with pytest.raises(ValueError, match=message):
        ks.from_tfmot(k2.Sequential([k2.Input((5,)), build(k2)]))


def test_an_argument_that_changes_what_a_layer_computes(k2: Any) -> None:
    lstm = k2.layers.LSTM(3, time_major=True, name="rnn")
    old = k2.Sequential([k2.Input((6, 4)), lstm])
    with pytest.raises(ValueError, match=r"'rnn' \(LSTM\).*Keras 3 has no argument 'time_major'.*time_major=True"):
        ks.from_tfmot(old)


def test_an_operation_of_tensorflow(k2: Any) -> None:
    x = k2.Input((5,))
    old = k2.Model(x, k2.layers.Dense(5)(x) + 1.0)
    with pytest.raises(ValueError, match=r"'tf.__operators__.add' \(TFOpLambda\).*TensorFlow operation"):
        ks.from_tfmot(old)


def test_weights_are_found_by_name(k2: Any) -> None:
    """An old wrapper of TFMOT lists the bias first."""
    old, new = k2.layers.DepthwiseConv2D(3, name="dw"), keras.layers.DepthwiseConv2D(3)
    new.build((None, 8, 8, 2))
    kernel, bias = np.ones((3, 3, 2, 1), np.float32), np.zeros(2, np.float32)
    layers.copy_weights([("bias", bias), ("depthwise_kernel", kernel)], old, new)
    np.testing.assert_array_equal(new.kernel, kernel)
    with pytest.raises(ValueError, match=r"Layer 'dw' \(DepthwiseConv2D\).*shapes.*Received: \[\(2,\)\]"):
        layers.copy_weights([("bias", bias)], old, new)
