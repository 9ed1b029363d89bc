"""What ONNX Runtime really runs: int8 kernels for whole networks, and float ones where a file leaves it no choice."""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import layers
from onnx import TensorProto, helper, numpy_helper

import keras_sparse as ks
from keras_sparse.exporting import onnx_kernels
from keras_sparse.exporting.onnx_kernels import Kernel, float_kernels
from keras_sparse.runtime.isolated import RuntimeFailure


def kernels(path):
    return onnx_kernels.kernels(onnx_kernels.optimized(path))


def block(x, layer, relu=True):
    x = layers.BatchNormalization()(layer(x))
    return layers.ReLU(max_value=6)(x) if relu else x


def ds_cnn():
    inputs = keras.Input((16, 16, 1))
    x = layers.ZeroPadding2D(1)(inputs)
    x = block(x, layers.Conv2D(8, 3, strides=2, use_bias=False))
    for channels, stride in ((8, 1), (12, 2)):
        x = layers.ZeroPadding2D(1)(x) if stride == 2 else x
        padding = "valid" if stride == 2 else "same"
        x = block(x, layers.DepthwiseConv2D(3, strides=stride, padding=padding, use_bias=False))
        x = block(x, layers.Conv2D(channels, 1, use_bias=False))
    x = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def resnet():
    inputs = keras.Input((16, 16, 3))
    x = block(inputs, layers.Conv2D(8, 3, padding="same"))
    for channels, stride in ((8, 1), (16, 2)):
        y = block(x, layers.Conv2D(channels, 3, strides=stride, padding="same"))
        y = block(y, layers.Conv2D(channels, 3, padding="same"), relu=False)
        x = layers.Conv2D(channels, 1, strides=stride)(x) if stride > 1 else x
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def mobilenet():
    """Inverted bottlenecks with squeeze and excitation; pads are layers of their own, as in keras.applications."""
    inputs = keras.Input((16, 16, 3))
    x = block(inputs, layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False))
    for stride in (1, 2):
        y = block(x, layers.Conv2D(24, 1, use_bias=False))
        y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y) if stride == 2 else y
        y = block(y, layers.DepthwiseConv2D(3, strides=stride, padding="same" if stride == 1 else "valid"))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(24, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
        y = block(layers.Multiply()([y, gate]), layers.Conv2D(8, 1), relu=False)
        x = layers.Add()([x, y]) if stride == 1 else y
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def mlp():
    inputs = keras.Input((32,))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(24)(inputs)))
    x = layers.Dense(16, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(4)(x))


def concat():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    branches = [layers.Conv2D(8, 1)(x), layers.Conv2D(4, 3, padding="same", activation="relu")(x)]
    x = layers.Concatenate()([*branches, layers.MaxPooling2D(3, 1, "same")(x)])
    x = layers.MaxPooling2D()(layers.Cropping2D(2)(layers.Conv2D(8, 1, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))


def pools():
    inputs = keras.Input((12, 12, 3))
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(layers.Conv2D(8, 3, activation="relu")(inputs)))
    return keras.Model(inputs, layers.Dense(4)(layers.GlobalMaxPooling2D()(layers.Conv2D(8, 3)(x))))


def grouped():
    inputs = keras.Input((8, 8, 8))
    x = layers.Conv2D(16, 3, groups=4, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, layers.Conv2D(8, 1, groups=2)(x))


def dense_of_many_axes():
    inputs = keras.Input((6, 4, 8))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(12)(inputs)))
    x = layers.Dense(8, activation="relu", use_bias=False)(layers.Reshape((4, 72))(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def randomized(model):
    """Biases and batch norms as training leaves them, not the 0 and 1 that the converter drops."""
    generator = np.random.default_rng(1)
    for variable in model.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(generator.normal(0, 0.2, variable.shape))
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return model


def exported(model, folder, low=-1.0, high=1.0):
    samples = np.random.default_rng(0).uniform(low, high, (48, *model.input_shape[1:])).astype("float32")
    return ks.export(model, folder / "m.onnx", samples=samples, quantize="int8")


def count(found):
    return Counter(each.operation for each in found if each.arithmetic)


NETS = {
    ds_cnn: {"QLinearConv": 5, "QLinearGlobalAveragePool": 1, "QGemm": 1},
    resnet: {"QLinearConv": 6, "QLinearAdd": 2, "QLinearAveragePool": 1, "QGemm": 1, "Softmax": 1},
    mobilenet: {
        "QLinearConv": 11,
        "QLinearAdd": 1,
        "QLinearMul": 2,
        "QLinearGlobalAveragePool": 3,
        "QLinearSigmoid": 2,
        "QGemm": 1,
    },
    mlp: {"QGemm": 3},
    concat: {"QLinearConv": 4, "QLinearConcat": 1, "NhwcMaxPool": 2, "QGemm": 1},
    pools: {"QLinearConv": 2, "NhwcMaxPool": 2, "QGemm": 1},
    grouped: {"QLinearConv": 2},
    dense_of_many_axes: {"QGemm": 2, "QLinearMatMul": 1},
}


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_whole_networks_run_in_int8_kernels_without_transposes(net, tmp_path):
    artifact = exported(randomized(net()), tmp_path)
    found = kernels(artifact.path)
    assert count(found) == NETS[net]
    assert [each.operation for each in float_kernels(found)] == ["Softmax"] * (net is resnet)
    assert [each.split()[0] for each in artifact.report.float_operations] == ["Softmax"] * (net is resnet)
    assert not {"Transpose", "Shape"} & {each.operation for each in found}


@pytest.mark.parametrize(
    ("name", "low", "high", "wanted"),
    [
        ("ad01.h5", -20, 10, {"QGemm": 10}),
        ("pretrainedResnet.h5", 0, 255, {"QLinearConv": 9, "QLinearAdd": 3, "QLinearAveragePool": 1, "QGemm": 1}),
    ],
)
def test_reference_models_run_in_int8_kernels_without_transposes(shared, tmp_path, name, low, high, wanted):
    model = keras.models.load_model(shared / "models/mlperf-tiny" / name, compile=False)
    found = kernels(exported(model, tmp_path, low, high).path)
    assert count(found) == wanted | ({"Softmax": 1} if "Resnet" in name else {})
    assert "Transpose" not in {each.operation for each in found}


def between_pairs(folder, operation):
    """A file of one operation between Q/DQ pairs."""
    constants = {"s": np.float32(0.1), "z": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node(operation, ["d"], ["m"]),
        helper.make_node("QuantizeLinear", ["m", "s", "z"], ["mq"]),
        helper.make_node("DequantizeLinear", ["mq", "s", "z"], ["y"]),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy"]
    constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", value[:1], value[1:], constants)
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_float_fallback_is_found(tmp_path):
    assert kernels(between_pairs(tmp_path, "Sigmoid"))[1] == Kernel("QLinearSigmoid", "mq", "int8")
    assert float_kernels(kernels(between_pairs(tmp_path, "Sigmoid"))) == ()
    assert float_kernels(kernels(between_pairs(tmp_path, "Tanh"))) == (Kernel("Tanh", "m", "float32"),)


def test_a_float_model_and_a_float16_model_run_in_float32_here(trained, parts, tmp_path):
    for quantize in (None, "float16"):
        ks.export(trained.dense, tmp_path / "m.onnx", quantize=quantize)
        computes = {each.computes for each in kernels(tmp_path / "m.onnx") if each.operation in ("Conv", "FusedConv")}
        # An x86 has no float16 convolutions: ONNX Runtime converts around them.
        assert computes <= {"float32", "float16"} and computes


def test_it_is_the_graph_of_a_default_session(files, tmp_path):
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(files[".onnx"].path), options, providers=["CPUExecutionProvider"])
    made = onnx.load(tmp_path / "optimized.onnx").graph.node
    assert [(n.op_type, n.output[0]) for n in made] == [(k.operation, k.output) for k in kernels(files[".onnx"].path)]


def test_a_file_that_onnx_runtime_refuses_is_an_error_here(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(RuntimeFailure, match="was refused"):
        kernels(path)
