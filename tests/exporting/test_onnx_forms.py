"""What ONNX or ONNX Runtime lacks is an ExportError that names the operation; nothing is written."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import onnx as emitting
from keras_sparse.exporting import onnx_forms
from keras_sparse.exporting.check import ExportError
from keras_sparse.runtime import isolated


class Odd(layers.Layer):
    """Computes a function that Keras has no layer for, in any type; one float32 for each value."""

    def __init__(self, function):
        super().__init__(name="odd")
        self.function = function

    def call(self, x):
        return tf.cast(self.function(x), tf.float32)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, "float32")


def model(function):
    inputs = keras.Input((5,))
    return keras.Model(inputs, Odd(function)(inputs))


def looped(x):
    return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.math.lgamma(y)), [0, x])[1]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: tf.bitcast(x, tf.int32), r"no ONNX form: Bitcast, named '.*odd.*Bitcast'"),
        (lambda x: tf.strings.length(tf.as_string(x)), "no ONNX form: StringLength, named"),
        (looped, "no ONNX form: Lgamma, named"),
        (lambda x: tf.bitwise.bitwise_and(tf.cast(x, tf.int32), 3), "no ONNX form: BitwiseAnd, named"),
        (lambda x: tf.cumsum(tf.cast(x > 0, tf.int16), -1), "no valid ONNX form: .*CumSum.*int16"),
        (lambda x: tf.math.erf(tf.cast(x, tf.float64)), r"it has no Erf of \(double\), named '.*odd.*Erf"),
    ],
)
def test_an_operation_that_is_not_there_is_named(tmp_path, function, said):
    with pytest.raises(ExportError, match=said) as caught:
        ks.export(model(function), tmp_path / "m.onnx")
    assert str(caught.value).endswith(onnx_forms.REMEDY)
    assert not list(tmp_path.iterdir())


def test_argmax_of_a_type_that_has_no_kernel_is_named(tmp_path):
    largest = model(lambda x: tf.argmax(tf.cast(x, tf.int16), -1)[:, None] + tf.zeros((1, 5), tf.int64))
    with pytest.raises(ExportError, match=r"it has no ArgMax of \(int16\), named '.*odd.*ArgMax"):
        ks.export(largest, tmp_path / "m.onnx")


def test_what_tf2onnx_fails_on_is_said(tmp_path, monkeypatch):
    def fails(*args, **options):
        raise KeyError("odd_1/Part")

    monkeypatch.setattr(emitting.tf2onnx.convert, "from_function", fails)
    with pytest.raises(ExportError, match=r"tf2onnx cannot convert 'functional.*odd_1/Part"):
        ks.export(model(tf.abs), tmp_path / "m.onnx")


def test_odd_types_that_have_kernels_are_exported(tmp_path):
    odd = model(lambda x: tf.cast(x, tf.float64) * 2.0)
    assert ks.export(odd, tmp_path / "m.onnx").report.verification[0].largest < 1e-5


def test_usual_types_are_not_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "optimized", lambda *_: pytest.fail("loaded"))
    proto = onnx_forms.checked(emitting.build(model(tf.abs)))
    assert onnx_forms.implemented(proto) is proto
    assert np.isin([each for _, each in onnx_forms._types(proto.graph)], onnx_forms.USUAL).all()
