"""What a model becomes for each scheme, from every kind of Keras model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import keras_sparse as ks
from keras_sparse.exporting import scheme
from keras_sparse.exporting.scheme import exportable

X = np.random.default_rng(0).normal(size=(48, 8, 8, 3)).astype("float32")


class Block(keras.Model):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv, self.norm = layers.Conv2D(filters, 3, padding="same", use_bias=False), layers.BatchNormalization()

    def call(self, inputs, training=None):
        return ops.relu(self.norm(self.conv(inputs), training=training))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [Block(6), Block(8)]
        self.pool, self.head = layers.GlobalAveragePooling2D(), layers.Dense(4, activation="softmax")

    def call(self, inputs, training=None):
        for block in self.blocks:
            inputs = block(inputs, training=training)
        return self.head(self.pool(inputs))


class CallsTensorFlow(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv, self.head = layers.Conv2D(4, 3), layers.Dense(4)

    def call(self, inputs):
        return self.head(tf.reduce_mean(self.conv(inputs), axis=[1, 2]))


def sequential():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(6, 3), layers.ReLU(), layers.Flatten(), layers.Dense(4)]
    )


def nested():
    inputs = keras.Input((8, 8, 3))
    base = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU()])
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalAveragePooling2D()(base(inputs, training=False))))


KINDS = {"sequential": sequential, "nested": nested, "subclassed": Subclassed, "calls TensorFlow": CallsTensorFlow}


CASES = [
    ("sequential", "int8"),
    ("nested", "int8"),
    ("nested", "int8-weights"),
    *((kind, quantize) for kind in ("subclassed", "calls TensorFlow") for quantize in scheme.QUANTIZE),
]
"""Models that are not functional, once they have become so, are all the same to a scheme."""


@pytest.mark.parametrize(("kind", "quantize"), CASES)
@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_any_keras_model_in_any_scheme(kind, quantize, suffix, tmp_path):
    model = KINDS[kind]()
    model(X[:1])
    if kind == "calls TensorFlow" and quantize == "int8":
        with pytest.raises(ValueError, match="can be int8, and"):
            ks.export(model, tmp_path / f"m{suffix}", samples=X, quantize=quantize)
        return
    report = ks.export(model, tmp_path / f"m{suffix}", samples=X, quantize=quantize).report
    assert report.scheme == (quantize or "float32")
    kernels = [v for v in model.weights if v.name == "kernel"]
    assert len(report.tensors) == len(kernels)
    dtypes = {"int8": "int8", "int8-weights": "int8", "float16": "float16", None: "float32"}
    if kind == "calls TensorFlow" and suffix == ".onnx" and quantize == "int8-weights":
        assert {each.dtype for each in report.tensors} == {"float32"}
        assert all("call cannot be read" in note for note in report.notes) and report.notes
        return
    assert {each.dtype for each in report.tensors} == {dtypes[quantize]}


@pytest.mark.parametrize("kind", ["subclassed", "sequential"])
def test_the_model_is_not_changed(kind):
    model = KINDS[kind]()
    model(X[:1])
    before = [np.array(v) for v in model.weights]
    for quantize in scheme.QUANTIZE:
        exportable(model, X, quantize).moved_outputs([X])
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_int8_weights_are_those_the_exportable_computes_with():
    made = exportable(sequential(), quantize="int8-weights")
    with made.applied():
        for tensor, kernel in zip(made.tensors, [v for v in made.model.weights if v.name == "kernel"], strict=True):
            assert tensor.values.dtype == np.int8
            np.testing.assert_array_equal(tensor.dense(), np.array(kernel))


def test_a_model_with_ranges_is_int8_and_nothing_else():
    model = ks.calibrate(sequential(), X)
    assert exportable(model).scheme == "int8"
    for quantize in ("int8-weights", "float16"):
        with pytest.raises(ValueError, match="was quantized in training"):
            exportable(model, X, quantize)
    with pytest.raises(ValueError, match=r"was quantized in training\. Received: quantize='int8'; export it with"):
        exportable(model, X, "int8")
    with pytest.raises(ValueError, match=r"was quantized in training\. Received: quantize='int8'; export it with"):
        exportable(ks.strip(model), X, "int8")


def test_only_float32_has_nothing_to_move():
    assert exportable(sequential()).moved_outputs([X]) is None
    for quantize in ("int8", "int8-weights", "float16"):
        made = exportable(sequential(), X, quantize)
        assert np.abs(made.moved_outputs([X])[0] - made.outputs([X])[0]).max() > 0


def test_a_part_of_a_model_before_any_range_is_float():
    made = exportable(ks.calibrate(sequential(), X))
    assert made.part(made.model.layers[1]).scheme in ("float32", "int8")
    assert made.part(made.model.layers[-1]).tensors == made.tensors
