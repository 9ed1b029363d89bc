from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from onnx import numpy_helper

from keras_sparse.exporting import onnx as emitting
from keras_sparse.exporting import onnx_float16, onnx_forms
from keras_sparse.exporting.check import ExportError
from keras_sparse.exporting.onnx_float16 import Narrowed
from keras_sparse.runtime import isolated
from keras_sparse.train.strip import stripped


def emitted(model, folder):
    """The path of the float16 file, and what was narrowed."""
    proto = emitting.build(stripped(model).model)
    narrowed = onnx_float16.to_float16(proto)
    data = onnx_forms.checked(proto).SerializeToString()
    (folder / "m.onnx").write_bytes(data)
    return folder / "m.onnx", narrowed


def dense(kernel):
    model = keras.Sequential([keras.Input((len(kernel),)), layers.Dense(len(kernel[0]), use_bias=False, name="odd")])
    model.layers[0].kernel.assign(np.float32(kernel))
    return model


def constants(path):
    return {each.name: numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer}


def test_weights_and_arithmetic_are_float16_and_inputs_and_outputs_float32(trained, tmp_path):
    path, narrowed = emitted(trained.dense, tmp_path)
    graph = onnx.load(path).graph
    kinds = {each.type.tensor_type.elem_type for each in (*graph.input, *graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}
    assert {each.dtype.name for each in constants(path).values()} <= {"float16", "int64"}
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert [(node.input[0], node.output[0]) for node in casts] == [
        ("image", "image/float16"),
        ("output/float16", "output"),
    ]
    (made,) = isolated.run(path, [trained.x])
    wanted = trained.dense.predict(trained.x, verbose=0)
    assert 0 < np.abs(made - wanted).max() < 4e-3
    assert narrowed == () or {type(each) for each in narrowed} == {Narrowed}


@pytest.mark.parametrize("count", [1, 2, 7])
def test_it_takes_any_batch(trained, tmp_path, count):
    path, _ = emitted(trained.dense, tmp_path)
    assert isolated.run(path, [trained.x[:count]])[0].shape == (count, 5)


def test_zeros_stay_and_nothing_else_becomes_0(tmp_path):
    tiny, least = 1e-9, 2.0**-24
    path, (narrowed,) = emitted(dense([[0, tiny, -tiny, 1e-5], [-0.0, 1, least, 0.25]]), tmp_path)
    (values,) = (each for each in constants(path).values() if each.ndim == 2)
    assert values.astype(float).tolist() == [[0, least, -least, float(np.float16(1e-5))], [0, 1, least, 0.25]]
    assert (narrowed.raised, narrowed.coarse) == (2, 4)
    assert "odd" in narrowed.name


@pytest.mark.parametrize("value", [65505.0, -1e6, np.inf, np.nan])
def test_what_float16_cannot_hold_is_refused_by_name(tmp_path, value):
    with pytest.raises(ExportError, match=r"odd.*float16 holds values up to 65504. Received: "):
        emitted(dense([[1.0, value]]), tmp_path)


def test_the_largest_value_is_held(tmp_path):
    path, narrowed = emitted(dense([[65504.0, 1.0]]), tmp_path)
    assert max(each.max() for each in constants(path).values() if each.ndim == 2) == 65504
    assert narrowed == ()


def test_reference_models(shared, tmp_path):
    model = keras.models.load_model(shared / "models/mlperf-tiny/ad01.h5", compile=False)
    path, _ = emitted(model, tmp_path)
    x = np.random.default_rng(0).uniform(-20, 10, (16, 640)).astype("float32")
    wanted = model.predict(x, verbose=0)
    np.testing.assert_allclose(isolated.run(path, [x])[0], wanted, atol=5e-3 * np.abs(wanted).max())
