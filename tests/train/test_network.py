"""A Keras model as targets see it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_sparse as ks
from keras_sparse.targets import xnnpack_cnn
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, FLOAT16, FLOAT32, INT8, INT8_WEIGHTS, OTHER
from keras_sparse.train import network


def by_name(found):
    return {each.name.split("/")[-2]: each for each in found.layers}


def test_kernels_come_with_kind_shape_and_zeros(cnn):
    model = cnn()
    pointwise = model.get_layer("pointwise")
    values = np.ones((1, 1, 4, 8), np.float32)
    values[..., :2] = 0
    pointwise.kernel.assign(values)
    found = by_name(network.read(model))
    kinds = {name: (each.kind, each.positions, each.rows, each.cols) for name, each in found.items()}
    assert kinds == {
        "entry": (CONV, 9, 4, 3),
        "depthwise": (DEPTHWISE, 1, 4, 9),
        "pointwise": (CONV, 1, 8, 4),
        "head": (DENSE, 1, 3, 8),
    }
    assert found["pointwise"].zeros == 8 and not found["pointwise"].kept[0, :2].any()
    assert [found[n].vectors for n in ("entry", "depthwise", "pointwise", "head")] == [9, 9, 9, 1]
    assert {each.scheme for each in found.values()} == {FLOAT32}


def test_the_graph_is_that_of_a_converter(cnn):
    """Batch norms after convolutions are folded, Dropout is gone, activations that are fused stay with their layer."""
    found = network.read(cnn())
    assert [each.name for each in found.operations] == [
        "pad", "entry", "entry_relu", "depthwise", "depthwise_relu", "pointwise", "pool", "flatten", "head", "head",
    ]  # fmt: skip
    entry, depthwise, pool = (next(e for e in found.operations if e.name == n) for n in ("entry", "depthwise", "pool"))
    assert (entry.kernel, entry.strides, entry.channels, entry.padding) == ((3, 3), (2, 2), 3, ((0, 0), (0, 0)))
    assert (depthwise.same, depthwise.padding) == (True, ((1, 1), (1, 1)))
    assert pool.kind == "mean" and pool.keepdims
    tensors = {tensor for each in found.operations for tensor in each.outputs}
    assert all(tensor in tensors for each in found.operations[1:] for tensor in each.inputs)
    assert set(found.outputs) <= tensors


def test_a_model_of_the_pattern_is_found_to_be_one(cnn):
    (cluster,) = xnnpack_cnn.analyse(network.read(cnn())).clusters
    assert cluster.convs == ("pointwise",) and cluster.rewrites == ()


def test_a_batch_norm_that_is_not_folded_stays():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 1, name="c")(inputs)
    both = layers.Add(name="sum")([x, layers.BatchNormalization(name="bn")(x)])
    found = network.read(keras.Model(inputs, both))
    assert [each.kind for each in found.operations] == [CONV, "batch norm", xnnpack_cnn.ADD]


@pytest.mark.parametrize(
    ("quantize", "schemes"),
    [
        (None, {FLOAT32}),
        ("float16", {FLOAT16}),
        ("int8", {INT8}),
        ("int8-weights", {INT8_WEIGHTS}),
    ],
)
def test_schemes_are_those_of_export(mlp, quantize, schemes):
    assert {each.scheme for each in network.read(mlp(), quantize).layers} == schemes


def test_what_stays_float_says_why(mlp):
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(4, name="rnn"), layers.Dense(3, name="d")])
    rnn, _, dense = network.read(model, "int8").layers
    assert (rnn.kind, rnn.scheme, dense.scheme) == (OTHER, FLOAT32, INT8)
    assert "LSTM" in rnn.float_because
    prepared = ks.prepare(mlp(), ks.Recipe([ks.Quantize(match="dense1/*")]))
    first, second = network.read(prepared).layers
    assert (first.scheme, second.scheme) == (INT8, FLOAT32)
    assert "Quantize rule does not match" in second.float_because


def test_models_inside_models_are_followed(mlp):
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 1, name="c")], name="inner")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D(name="pool")(inner(layers.ReLU(name="r")(inputs))))
    found = network.read(model)
    assert [each.name for each in found.operations] == ["r", "inner_c", "pool"]
    assert found.operations[1].inputs == found.operations[0].outputs
    assert found.operations[2].inputs == found.operations[1].outputs
    assert found.layers[0].operation == "inner_c" and found.layers[0].vectors == 64


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs)


def test_a_subclassed_model_is_read_by_its_call_and_keeps_its_paths():
    model = Own()
    model(np.zeros((1, 8), np.float32))
    found = network.read(model)
    assert [each.kind for each in found.operations] == [DENSE]
    assert [(each.kind, each.rows, each.cols, each.vectors) for each in found.layers] == [(DENSE, 4, 8, 1)]
    assert [each.name for each in found.layers] == [v.path for v in model.weights if v.name == "kernel"]
    assert network.read(model, "int8").layers[0].scheme == "int8"


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="call it once"):
        network.read(keras.Sequential([layers.Dense(3)]))


def test_the_model_itself_is_not_touched(mlp):
    model = mlp()
    before = [layer.output for layer in model.layers], model.get_weights()
    network.read(model, "int8")
    assert [layer.output for layer in model.layers] == before[0]
    assert all((a == b).all() for a, b in zip(model.get_weights(), before[1], strict=True))


@given(st.integers(1, 20), st.integers(1, 5), st.integers(1, 3))
@settings(max_examples=20)
def test_same_padding_is_that_of_keras(size, kernel, stride):
    before, after = network._same(size, kernel, stride, 1)
    values = np.random.default_rng(size).normal(size=(1, size, 1)).astype(np.float32)
    weights = np.random.default_rng(kernel).normal(size=(kernel, 1, 1)).astype(np.float32)
    padded = np.pad(values, ((0, 0), (before, after), (0, 0)))
    made = keras.ops.conv(padded, weights, stride, "valid")
    np.testing.assert_allclose(made, keras.ops.conv(values, weights, stride, "same"), atol=1e-6)
