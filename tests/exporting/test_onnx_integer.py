"""ConvInteger and MatMulInteger: the arithmetic written out for one layer, and whole networks in ONNX Runtime."""

from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import check, onnx_file, onnx_forms, onnx_integer
from keras_sparse.exporting import onnx as emitting
from keras_sparse.exporting.onnx_kernels import kernels, optimized
from keras_sparse.runtime import isolated
from keras_sparse.train.strip import stripped


def on_grid(model):
    """`model` with its kernels on their int8 grids, and biases that are not 0; and the kernels."""
    generator = np.random.default_rng(5)
    variables = {variable.path: variable for variable in model.weights}
    tensors = [ks.SparseTensor.quantized(t.name, t.values, t.layout) for t in stripped(model).tensors]
    for tensor in tensors:
        variables[tensor.name].assign(tensor.dense())
    for variable in model.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(generator.normal(0, 0.3, variable.shape))
    return model, tensors


def emitted(model, folder):
    """The path of the file, and what stays float."""
    proto = emitting.build(stripped(model).model)
    reasons = onnx_integer.to_integer(proto)
    data = onnx_forms.checked(proto).SerializeToString()
    path = folder / "m.onnx"
    path.write_bytes(data)
    return path, reasons


def dynamically(x):
    """`x` as DynamicQuantizeLinear rounds it."""
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.float32((high - low) / 255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    return ((np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale).astype(np.float32)


LAYERS = {
    "dense": (lambda: layers.Dense(6), (20,), "MatMulInteger"),
    "dense of many axes": (lambda: layers.Dense(6), (3, 4, 8), "MatMulInteger"),
    "convolution": (lambda: layers.Conv2D(6, 3, strides=2, padding="same"), (7, 6, 5), "ConvInteger"),
    "pointwise": (lambda: layers.Conv2D(6, 1, use_bias=False), (4, 4, 5), "ConvInteger"),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"), (5, 6, 4), "ConvInteger"),
    "grouped": (lambda: layers.Conv2D(8, 3, groups=4), (6, 6, 8), "ConvInteger"),
    "one axis": (lambda: layers.Conv1D(6, 3, padding="same"), (9, 4), "ConvInteger"),
    "dilated": (lambda: layers.Conv2D(4, 3, dilation_rate=2), (8, 8, 3), "ConvInteger"),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_one_layer_computes_what_its_definition_says(kind, tmp_path):
    layer, shape, operation = LAYERS[kind]
    model, _ = on_grid(keras.Sequential([keras.Input(shape), layer()]))
    path, reasons = emitted(model, tmp_path)
    assert reasons == {}
    assert [node.op_type for node in onnx.load(path).graph.node].count(operation) == 1
    x = np.random.default_rng(0).normal(0.7, 1, (3, *shape)).astype(np.float32)
    (made,) = isolated.run(path, [x], engine="exact")
    np.testing.assert_allclose(made, model.predict(dynamically(x), verbose=0), rtol=1e-4, atol=1e-4)
    assert np.abs(made - model.predict(x, verbose=0)).max() > 1e-4  # it did quantize


def network():
    inputs = keras.Input((12, 12, 3))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, use_bias=False, name="entry")(x)))
    y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", name="dw")(x)))
    x = layers.Add()([x, layers.Conv2D(8, 1, name="pw")(y)])
    x = layers.Concatenate()(
        [layers.Conv2D(4, 1, name="left")(x), layers.Conv2D(4, 3, padding="same", name="right")(x)]
    )
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return keras.Model(inputs, layers.Dense(5, name="scores")(layers.Dense(16, activation="gelu", name="hidden")(x)))


def test_a_network_agrees_up_to_dynamic_rounding_and_holds_every_kernel(tmp_path):
    model, tensors = on_grid(network())
    path, reasons = emitted(model, tmp_path)
    assert reasons == {}
    x = np.random.default_rng(0).normal(size=(64, 12, 12, 3)).astype(np.float32)
    (made,) = isolated.run(path, [x], engine="exact")
    wanted = model.predict(x, verbose=0)
    assert 0 < np.sqrt(np.mean((made - wanted) ** 2)) < 0.02 * wanted.std()
    stored = onnx_file.read(path)
    assert set(check.weights(stored, tensors, "onnx")) == {tensor.name for tensor in tensors}
    scales = {t.name: t.scale for t in stored.tensors if t.values.dtype == np.int8}
    assert len(scales) == len(tensors) and all(scale is not None for scale in scales.values())
    computes = {each.operation for each in kernels(optimized(path)) if each.computes == "int8"}
    assert computes == {"ConvInteger", "DynamicQuantizeMatMul"}
    assert isolated.run(path, [x[:1]])[0].shape == (1, 5)


def test_an_input_of_two_layers_is_quantized_once_and_a_shared_kernel_stored_once(tmp_path):
    inputs = keras.Input((8,))
    shared = layers.Dense(8, activation="relu", name="shared")
    model, _ = on_grid(keras.Model(inputs, layers.Add()([shared(shared(inputs)), layers.Dense(8, name="own")(inputs)])))
    path, _ = emitted(model, tmp_path)
    graph = onnx.load(path).graph
    kinds = [node.op_type for node in graph.node]
    assert (kinds.count("MatMulInteger"), kinds.count("DynamicQuantizeLinear")) == (3, 2)
    assert len([each for each in graph.initializer if each.data_type == onnx.TensorProto.INT8]) == 2


def test_what_has_no_integer_form_stays_float_with_the_reason(tmp_path):
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2DTranspose(4, 3, name="up")(inputs)
    model, tensors = on_grid(keras.Model(inputs, layers.Conv2D(4, 3, name="off")(layers.Conv2D(4, 1, name="on")(x))))
    kernel = model.get_layer("off").kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    path, reasons = emitted(model, tmp_path)
    assert len(reasons) == 2
    (up,), (off,) = ([r for name, r in reasons.items() if f"/{part}" in name] for part in ("up", "off"))
    assert up == "ONNX has no ConvTranspose of integers, its int8 weights are made float"
    assert "do not lie on an int8 grid" in off
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert (kinds.count("ConvInteger"), kinds.count("Conv"), kinds.count("ConvTranspose")) == (1, 1, 1)
    assert "up/kernel" in {name[-9:] for name in check.weights(onnx_file.read(path), tensors[:1], "onnx")}
    x = np.random.default_rng(0).normal(size=(4, 6, 6, 3)).astype(np.float32)
    wanted = model.predict(x, verbose=0)
    assert np.abs(isolated.run(path, [x])[0] - wanted).max() < 0.05 * np.abs(wanted).max()
