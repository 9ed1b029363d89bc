"""The provider over files that were exported from Keras, by keras_sparse and by ONNX Runtime's own quantization."""

from __future__ import annotations

import keras
import numpy as np
import onnxruntime
import pytest
from onnxruntime import quantization

import keras_sparse as ks

from .native import families
from .onnx_sessions import claimed, run, session

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")


def image_model(batch=None):
    """Convolutions of all kinds, pruned in blocks; a sum, and a fully connected layer."""
    image = keras.Input((20, 16, 3), batch_size=batch)
    x = keras.layers.Conv2D(32, 3, 2, padding="same", activation="relu")(image)
    for stride in (1, 2):
        x = keras.layers.DepthwiseConv2D(3, stride, padding="same", activation="relu6")(x)
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(48, 1, name=f"wide_{stride}")(x))
        x = keras.layers.ReLU()(x)
    y = keras.layers.Conv2D(48, 3, padding="same", activation="tanh", name="wide_tanh")(x)
    y = keras.layers.Conv2D(48, 3, padding="same", name="wide_3")(y)
    x = keras.layers.ReLU()(keras.layers.Add()([x, y]))
    x = keras.layers.Flatten()(keras.layers.Conv2D(24, (3, 2), 2, name="wide_4")(x))
    return keras.Model(image, keras.layers.Dense(10)(x))


def row_model():
    row = keras.Input((64,))
    x = keras.layers.Dense(128, "relu", name="wide_1")(row)
    return keras.Model(row, keras.layers.Dense(10)(keras.layers.Dense(96, "relu", name="wide_2")(x)))


def pruned(model, block, zeros=0.8):
    """The model with random biases, and zeros in blocks of the layers that are called wide."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.1, layer.bias.shape))
        if layer.name.startswith("wide"):
            value = random.normal(0, 0.1, layer.kernel.shape)
            taps = np.moveaxis(np.abs(value).reshape(-1, *value.shape[-2:]), 1, 2)
            layer.kernel.assign(value * np.moveaxis(ks.Block(block, zeros).mask(taps, 1.0), 2, 1).reshape(value.shape))
    return model


@pytest.mark.parametrize(
    ("build", "block", "operations"),
    [(image_model, (1, 4), 7), (lambda: image_model(2), (1, 4), 7), (row_model, (16, 4), 2)],
)
def test_exported_files(build, block, operations, tmp_path):
    model = pruned(build(), block)
    samples = np.random.default_rng(0).normal(size=(32, *model.input_shape[1:])).astype("float32")
    path = ks.export(model, tmp_path / "model.onnx", samples=samples, quantize="int8").path
    plain = session(str(path), provider=False)
    for family in FAMILIES:
        made = session(str(path), threshold=0.7, kernels=family)
        assert sum(kind in ("Conv", "Gemm", "MatMul") for part in claimed(made) for kind in part) == operations
        for x in (samples[:2], samples) if model.input_shape[0] is None else (samples[:2],):
            np.testing.assert_array_equal(run(made, x)[0], run(plain, x)[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_channel", [False, True])
def test_files_of_onnx_runtime_s_own_quantization(per_channel, tmp_path):
    model = pruned(image_model(), (1, 4))
    samples = np.random.default_rng(0).normal(size=(16, *model.input_shape[1:])).astype("float32")
    path = ks.export(model, tmp_path / "float.onnx", samples=samples).path

    class Reader(quantization.CalibrationDataReader):
        rows = iter(samples)

        def get_next(self):
            row = next(self.rows, None)
            return None if row is None else {onnxruntime.InferenceSession(path).get_inputs()[0].name: row[None]}

    made = str(tmp_path / "made.onnx")
    quantization.quantize_static(
        path, made, Reader(), per_channel=per_channel, activation_type=quantization.QuantType.QUInt8
    )
    plain = session(made, provider=False)
    found = session(made, threshold=0)
    assert sum(kind == "Conv" for part in claimed(found) for kind in part) == 8
    np.testing.assert_array_equal(run(found, samples)[0], run(plain, samples)[0])
