"""Int8 weights for float activations."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_sparse as ks
from keras_sparse import int8
from keras_sparse.exporting import tflite_file, tflite_model
from keras_sparse.exporting.tflite_model import Graph


def model():
    return keras.Sequential(
        [
            keras.Input((10, 10, 3), name="x"),
            layers.Conv2D(8, 3, use_bias=False, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, name="deep"),
            layers.Conv2DTranspose(4, 2, name="up"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, name="dense"),
        ]
    )


def test_weights_are_int8_per_channel_and_activations_float(tmp_path):
    made = model()
    made.get_layer("bn").gamma.assign([1.0, -2.0, 0.5, 1.0, 3.0, 1.0, -0.1, 1.0])
    x = np.random.default_rng(0).normal(size=(16, 10, 10, 3)).astype("float32")
    report = ks.export(made, tmp_path / "m.tflite", samples=x, quantize="int8-weights").report
    assert {each.name.split("/")[-2]: each.dtype for each in report.tensors} == {
        "conv": "int8", "deep": "int8", "up": "float32", "dense": "int8",
    }  # fmt: skip
    graph = Graph(tflite_model.load((tmp_path / "m.tflite").read_bytes()))
    kinds = [graph.name(op) for op in graph.operators]
    # What has a hybrid kernel reads integers, a depthwise convolution what DEQUANTIZE makes of them once.
    assert kinds.count("DEQUANTIZE") == 1 and "QUANTIZE" not in kinds
    assert all(graph.dtype(op.outputs[0]) == "float32" for op in graph.operators)
    stored = {each.name: each for each in tflite_file.read(tmp_path / "m.tflite").tensors}
    assert report.float_layers == {"up": "Conv2DTranspose has no int8-weights form"}
    for each in report.tensors:
        if each.dtype != "int8":
            continue
        found = stored[each.stored_as]
        assert not found.zero_point.any()
        channels = np.moveaxis(found.values, found.channel_axis, 0)
        assert (np.abs(channels.reshape(len(found.scale), -1)).max(1) == int8.WEIGHT_MAX).all()


def test_the_file_is_about_a_quarter_of_the_float_one(tmp_path):
    made = keras.Sequential([keras.Input((256,)), layers.Dense(256), layers.Dense(256)])
    sizes = [ks.export(made, tmp_path / "m.tflite", quantize=q).report.bytes for q in (None, "int8-weights", "float16")]
    assert sizes[1] < 0.28 * sizes[0] and sizes[2] < 0.53 * sizes[0]


def test_kernels_of_a_form_of_the_converter_stay_float(tmp_path):
    made = keras.Sequential(
        [keras.Input((4, 3)), layers.LSTM(5, unroll=True, name="lstm"), layers.Dense(2, name="dense")]
    )
    report = ks.export(made, tmp_path / "m.tflite", quantize="int8-weights").report
    assert [each.dtype for each in report.tensors if "dense" in each.name] == ["int8"]
    assert not [each for each in report.tensors if "lstm" in each.name and each.dtype == "int8"]
