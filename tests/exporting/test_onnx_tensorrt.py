from __future__ import annotations

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from onnx import TensorProto, helper, numpy_helper

import keras_sparse as ks
from keras_sparse.exporting.onnx_tensorrt import two_of_four


def model():
    """Only "good" and "dense" are 2:4 along their inputs; "across" is along its outputs, "odd" has 6 inputs."""
    inputs = keras.Input((6, 6, 8))
    x = layers.Conv2D(6, 3, name="good")(inputs)
    x = layers.Conv2D(4, 1, name="odd")(x)
    x = layers.DepthwiseConv2D(2, name="depth")(x)
    x = layers.Conv2D(8, 1, name="across")(x)
    made = keras.Model(inputs, layers.Dense(3, name="dense")(layers.Flatten()(x)))
    along = np.tile([1.0, 0.0, 0.0, -2.0], 1000).astype("float32")
    for layer in made.layers:
        if not hasattr(layer, "kernel"):
            continue
        shape = layer.kernel.shape
        inputs = shape[-2] if len(shape) > 2 else shape[0]
        if layer.name == "across":
            layer.kernel.assign(np.broadcast_to(along[: shape[-1]], shape))
        else:
            layer.kernel.assign(np.broadcast_to(along[:inputs, None], shape))
    return made


WANTED = {
    "good": None,
    "odd": "its 6 input channels are no multiple of 4",
    "depth": "its 1 input channels are no multiple of 4",
    "across": "4 of 8 groups keep more than 2 of 4, first at output channel 0, inputs 0 to 3",
    "dense": None,
}


def found(source):
    return {each.name: each for each in two_of_four(source)}


def agrees(name, each):
    wanted = WANTED[name]
    assert each.holds == (wanted is None), each
    assert wanted is None or wanted in each.reason


def test_each_kernel_of_a_model():
    made = found(model())
    assert [name.split("/")[-2] for name in made] == list(WANTED)
    for name, each in made.items():
        agrees(name.split("/")[-2], each)


@pytest.mark.parametrize("quantize", [None, "int8", "float16", "int8-weights"])
def test_each_kernel_of_a_file_of_every_scheme(quantize, tmp_path):
    made, path = model(), tmp_path / "m.onnx"
    samples = np.random.default_rng(0).normal(size=(16, 6, 6, 8)).astype("float32")
    ks.export(made, path, samples=samples, quantize=quantize)
    names = list(found(path))
    assert len(names) == len(WANTED)
    for wanted, name in zip(WANTED, names, strict=True):
        assert wanted in name
        agrees(wanted, found(path)[name])


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_file_of_others_with_transposed_weights(transposed, tmp_path):
    kernel = np.tile(np.float32([[1, 1, 0, 0]]), (2, 2))  # (outputs, inputs), 2:4 along the inputs
    constants = {"w": kernel if transposed else np.ascontiguousarray(kernel.T)}
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", s]) for n, s in (("x", 8), ("y", 2))]
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transB=transposed)
    tensors = [numpy_helper.from_array(each, name) for name, each in constants.items()]
    graph = helper.make_graph([node], "g", value[:1], value[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "m.onnx")
    (each,) = two_of_four(str(tmp_path / "m.onnx"))
    assert (each.name, each.inputs, each.holds) == ("w", 8, True)


def test_what_is_neither_is_refused():
    with pytest.raises(TypeError, match="Received: ndarray"):
        two_of_four(np.zeros(3))
