"""The file as the converter makes it from constants on the int8 grid and FakeQuant on activations."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_sparse import target
from keras_sparse.exporting import tflite, tflite_file
from keras_sparse.exporting.scheme import exportable

LITERT = target.TARGETS["litert"]


def emitted(model):
    return tflite_file.parse(tflite.emit(exportable(model), LITERT, "fastest").data, "m.tflite")


def test_int8_values_and_scales_are_the_model_s_bit_for_bit(parts):
    stored = emitted(parts.model)
    for tensor in parts.tensors:
        if "BatchNorm" not in tensor.name and tensor.name in ("left/kernel", "right/kernel", "hidden/kernel"):
            wanted = tensor.layout.to(tensor.layout.tflite, tensor.values)
            found = [t for t in stored.tensors if t.values.shape == wanted.shape and (t.values == wanted).all()]
            assert len(found) == 1
            np.testing.assert_allclose(found[0].scale, tensor.scale.ravel(), rtol=3e-7)
            assert not found[0].zero_point.any()


def test_operations_are_those_of_the_layers_and_all_int8(parts):
    operations = emitted(parts.model).operations
    assert [o.name for o in operations] == [
        "QUANTIZE", "PAD", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "CONV_2D", "CONV_2D", "CONCATENATION",
        "AVERAGE_POOL_2D", "MAX_POOL_2D", "FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX", "DEQUANTIZE",
    ]  # fmt: skip
    assert {o.dtype for o in operations[:-1]} == {"int8"}


def test_biases_are_int32(parts):
    stored = emitted(parts.model)
    biases = [t for t in stored.tensors if t.values.dtype == np.int32 and t.channel_axis is not None]
    assert len(biases) >= 6


def test_an_input_of_free_size_is_refused():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(ValueError, match="fixed size"):
        tflite.emit(exportable(model), LITERT, "fastest")


def test_nothing_is_printed(parts, capfd):
    tflite.emit(exportable(parts.model), LITERT, "fastest")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "Saved artifact" not in printed.err
