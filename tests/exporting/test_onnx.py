from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from keras import layers

import keras_sparse as ks
from keras_sparse import target
from keras_sparse.exporting import onnx as emitting
from keras_sparse.exporting import onnx_file
from keras_sparse.exporting.scheme import exportable
from keras_sparse.runtime import isolated
from keras_sparse.train.strip import stripped

TARGET = target.TARGETS["onnxruntime"]
SCHEMES = {
    "float": lambda dense, parts: emit(dense),
    "int8": lambda dense, parts: emit(parts.model),
    "int8-weights": lambda dense, parts: emit(dense, "int8-weights"),
    "float16": lambda dense, parts: emit(dense, "float16"),
}


def emit(model, quantize=None):
    return emitting.emit(exportable(model, quantize=quantize), TARGET, "fastest").data


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_file_of_every_scheme_takes_any_batch_and_states_its_opset(scheme, trained, parts, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(SCHEMES[scheme](trained.dense, parts))
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "batch"
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    whole = isolated.run(path, [trained.x[:7]])[0]
    parted = np.concatenate([isolated.run(path, [trained.x[a:b]])[0] for a, b in ((0, 1), (1, 3), (3, 7))])
    # What is quantized as it runs has the range of the batch.
    np.testing.assert_allclose(whole, parted, atol=0.05 if scheme == "int8-weights" else 1e-3)
    assert whole.shape == (7, 5)
    assert onnx_file.read(path).opset == emitting.OPSET == 17


def test_the_report_states_the_opset(files):
    assert files[".onnx"].report.opset == files[".onnx"].report.to_dict()["opset"] == 17
    assert "opset 17" in str(files[".onnx"]) and files[".tflite"].report.opset is None


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_a_grouped_convolution_is_one(quantize, tmp_path):
    inputs = keras.Input((8, 8, 8))
    model = keras.Model(inputs, layers.Conv2D(12, 3, groups=4, strides=2, padding="same", activation="relu")(inputs))
    samples = np.random.default_rng(0).normal(size=(32, 8, 8, 8)).astype("float32")
    artifact = ks.export(model, tmp_path / "m.onnx", samples=samples, quantize=quantize)
    (conv,) = (node for node in onnx.load(artifact.path).graph.node if node.op_type == "Conv")
    assert next(each.i for each in conv.attribute if each.name == "group") == 4
    assert [tensor.dtype for tensor in artifact.report.tensors] == ["int8" if quantize else "float32"]
    assert not tf.config.functions_run_eagerly()


def test_a_loop_keeps_what_it_takes_from_outside(tmp_path):
    model = keras.Sequential([keras.Input((6, 4)), layers.GRU(5)])
    assert ks.export(model, tmp_path / "m.onnx").report.verification[0].largest < 1e-5


def test_a_layer_that_is_called_twice_is_stored_once(tmp_path):
    inputs, dense = keras.Input((8,)), layers.Dense(8, activation="relu", name="shared")
    model = keras.Model(inputs, dense(dense(inputs)))
    dense.bias.assign(np.arange(8, dtype=np.float32))
    for quantize in (None, "int8"):
        samples = np.random.default_rng(0).normal(size=(32, 8)).astype("float32")
        path = ks.export(model, tmp_path / "m.onnx", samples=samples, quantize=quantize).path
        assert sum(each.values.ndim == 2 for each in onnx_file.read(path).tensors) == 1


def test_emitting_leaves_the_model_as_it_was(trained):
    plain = stripped(trained.dense).model
    before = [np.array(variable) for variable in plain.weights]
    emit(plain, "float16")
    emit(plain, "int8-weights")
    for variable, values in zip(plain.weights, before, strict=True):
        np.testing.assert_array_equal(variable, values)


def test_the_file_takes_any_batch_by_the_model_s_names(parts):
    model = onnx.load_from_string(emit(parts.model))
    onnx.checker.check_model(model, full_check=True)
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("image", "output")
    assert given.type.tensor_type.shape.dim[0].dim_param == made.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [dim.dim_value for dim in given.type.tensor_type.shape.dim[1:]] == [12, 12, 3]


def test_a_float_model_has_no_quantization(trained):
    kinds = {node.op_type for node in onnx.load_from_string(emit(trained.dense)).graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


def test_nothing_is_printed(parts, capfd):
    emit(parts.model)
    assert capfd.readouterr().out == ""
