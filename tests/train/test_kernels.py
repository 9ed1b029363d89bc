"""The kernels of any Keras model, and their axis orders held against what the layers compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_sparse.train import kernels


def paths(model: Any) -> list[str]:
    return [kernel.path for kernel in kernels.find(model)]


def only(layer: Any, shape: tuple[int, ...]) -> kernels.Kernel:
    layer.build((None, *shape))
    (found,) = kernels.find(layer)
    return found


def patches(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """(items, y, x, positions, channels): what each output of a valid convolution with stride 1 reads."""
    rows, cols = images.shape[1] - height + 1, images.shape[2] - width + 1
    return np.stack(
        [images[:, h : h + rows, w : w + cols] for h in range(height) for w in range(width)],
        axis=3,
    )


# Rows are outputs, cols are inputs, held against the layers themselves


def test_dense_computes_what_its_matrix_says() -> None:
    layer = layers.Dense(4, use_bias=False)
    (matrix,) = only(layer, (3,)).matrices()
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(x), [[row @ item for row in matrix] for item in x], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 2])
def test_conv_2d_computes_what_its_matrices_say(groups: int) -> None:
    layer = layers.Conv2D(6, (2, 3), use_bias=False, groups=groups)
    matrices = only(layer, (5, 6, 4)).matrices()
    assert matrices.shape == (6, 6, 4 // groups)
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 4)).astype(np.float32)
    wanted = np.zeros((2, 4, 4, 6))
    for channel in range(6):
        first = channel // (6 // groups) * (4 // groups)
        seen = patches(x, 2, 3)[..., first : first + 4 // groups]
        wanted[..., channel] = np.einsum("nyxpi,pi->nyx", seen, matrices[:, channel])
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-4, atol=1e-5)


def test_depthwise_conv_2d_computes_what_its_matrices_say() -> None:
    layer = layers.DepthwiseConv2D((2, 3), depth_multiplier=2, use_bias=False)
    (matrix,) = only(layer, (5, 6, 3)).matrices()
    assert matrix.shape == (6, 6)
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 3)).astype(np.float32)
    wanted = np.stack([patches(x, 2, 3)[..., row // 2] @ matrix[row] for row in range(6)], axis=-1)
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-4, atol=1e-5)


def test_conv_2d_transpose_computes_what_its_matrices_say() -> None:
    layer = layers.Conv2DTranspose(5, (2, 3), use_bias=False)
    matrices = only(layer, (4, 4, 3)).matrices()
    assert matrices.shape == (6, 5, 3)
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    wanted = np.zeros((2, 5, 6, 5))
    for position, matrix in enumerate(matrices):
        h, w = divmod(position, 3)
        wanted[:, h : h + 4, w : w + 4] += x @ matrix.T
    np.testing.assert_allclose(layer(x), wanted, rtol=1e-4, atol=1e-5)


def test_attention_computes_what_its_matrices_say() -> None:
    layer = layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 5))
    (matrix,) = only(layer, (4, 3)).matrices()
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(x), (x @ matrix.T).reshape(2, 4, 2, 5), rtol=1e-4, atol=1e-5)


# What is found


KERNELS: dict[str, tuple[Callable[[], Any], tuple[int, ...], list[tuple[str, tuple[int, int, int]]]]] = {
    "Dense": (lambda: layers.Dense(4), (3,), [("kernel", (1, 4, 3))]),
    "Conv1D": (lambda: layers.Conv1D(4, 2), (5, 3), [("kernel", (2, 4, 3))]),
    "Conv2D": (lambda: layers.Conv2D(4, 2), (5, 5, 3), [("kernel", (4, 4, 3))]),
    "Conv3D": (lambda: layers.Conv3D(4, 2), (5, 5, 5, 3), [("kernel", (8, 4, 3))]),
    "Conv1DTranspose": (lambda: layers.Conv1DTranspose(4, 2), (5, 3), [("kernel", (2, 4, 3))]),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(4, 2), (5, 5, 3), [("kernel", (4, 4, 3))]),
    "Conv3DTranspose": (lambda: layers.Conv3DTranspose(4, 2), (5, 5, 5, 3), [("kernel", (8, 4, 3))]),
    "DepthwiseConv1D": (lambda: layers.DepthwiseConv1D(2, depth_multiplier=2), (5, 3), [("kernel", (1, 6, 2))]),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(2), (5, 5, 3), [("kernel", (1, 3, 4))]),
    "SeparableConv1D": (
        lambda: layers.SeparableConv1D(4, 2),
        (5, 3),
        [("depthwise_kernel", (1, 3, 2)), ("pointwise_kernel", (1, 4, 3))],
    ),
    "SeparableConv2D": (
        lambda: layers.SeparableConv2D(4, 2),
        (5, 5, 3),
        [("depthwise_kernel", (1, 3, 4)), ("pointwise_kernel", (1, 4, 3))],
    ),
    "EinsumDense": (lambda: layers.EinsumDense("ab,bc->ac", 4), (3,), [("kernel", (1, 4, 3))]),
    "LSTM": (lambda: layers.LSTM(2), (5, 3), [("kernel", (1, 8, 3)), ("recurrent_kernel", (1, 8, 2))]),
    "GRU": (lambda: layers.GRU(2), (5, 3), [("kernel", (1, 6, 3)), ("recurrent_kernel", (1, 6, 2))]),
    "Bidirectional": (
        lambda: layers.Bidirectional(layers.SimpleRNN(2)),
        (5, 3),
        [("kernel", (1, 2, 3)), ("recurrent_kernel", (1, 2, 2))] * 2,
    ),
    "RNN of cells": (
        lambda: layers.RNN([layers.GRUCell(2), layers.SimpleRNNCell(4)]),
        (5, 3),
        [
            ("kernel", (1, 6, 3)),
            ("recurrent_kernel", (1, 6, 2)),
            ("kernel", (1, 4, 2)),
            ("recurrent_kernel", (1, 4, 4)),
        ],
    ),
    "ConvLSTM1D": (
        lambda: layers.ConvLSTM1D(2, 2),
        (4, 5, 3),
        [("kernel", (1, 8, 6)), ("recurrent_kernel", (1, 8, 4))],
    ),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(4)), (5, 3), [("kernel", (1, 4, 3))]),
    "BatchNormalization": (lambda: layers.BatchNormalization(), (3,), []),
    "LayerNormalization": (lambda: layers.LayerNormalization(), (3,), []),
    "Flatten": (lambda: layers.Flatten(), (3, 2), []),
}


@pytest.mark.parametrize("name", KERNELS)
def test_each_layer_shows_its_kernels(name: str) -> None:
    make, shape, wanted = KERNELS[name]
    layer = make()
    layer(np.zeros((2, *shape), np.float32))
    found = [(kernel.variable.name, kernel.matrices().shape) for kernel in kernels.find(layer)]
    assert found == wanted


def test_attention_shows_its_four_kernels() -> None:
    layer = layers.MultiHeadAttention(2, 4, value_dim=5)
    layer(np.zeros((1, 3, 6), np.float32), np.zeros((1, 3, 6), np.float32))
    found = {kernel.path.split("/")[-2]: kernel.matrices().shape for kernel in kernels.find(layer)}
    assert found == {"query": (1, 8, 6), "key": (1, 8, 6), "value": (1, 10, 6), "attention_output": (1, 6, 10)}


class Mine(keras.layers.Layer):
    """A layer of the user's, with a kernel, a table and layers in a list and a dictionary."""

    def build(self, shape: Any) -> None:
        self.own = self.add_weight(name="kernel", shape=(shape[-1], 4))
        self.table = self.add_weight(name="table", shape=(3, 4))
        self.many = [layers.Dense(4, name="first"), [layers.Dense(2, name="second")]]
        self.named = {"a": layers.Dense(2, name="third")}
        for each in (self.many[0], self.many[1][0], self.named["a"]):
            each.build((None, 4))

    def call(self, x: Any) -> Any:
        return x


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="mine")
        self.first = layers.Dense(4, name="first")
        self.block = keras.Sequential([layers.Dense(4, name="inner")], name="block")

    def call(self, x: Any) -> Any:
        return self.block(self.first(x))


def test_layers_of_the_users_are_searched() -> None:
    layer = Mine(name="mine")
    layer.build((None, 5))
    assert {path.split("/")[-2] for path in paths(layer)} == {"mine", "first", "second", "third"}
    assert len(paths(layer)) == 4


def test_subclassed_and_nested_models_are_searched() -> None:
    model = Subclassed()
    model(np.zeros((1, 3), np.float32))
    assert [path.split("/")[-2] for path in paths(model)] == ["first", "inner"]
    outer = keras.Sequential([keras.Input((3,)), model, layers.Dense(2, name="last")])
    assert [path.split("/")[-2] for path in paths(outer)] == ["first", "inner", "last"]


def test_a_shared_layer_is_found_once(cnn: Any) -> None:
    shared = layers.Dense(4, name="shared")
    a, b = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([a, b], layers.Add()([shared(a), shared(b)]))
    assert paths(model) == ["shared/kernel"]
    assert [path.split("/")[-2] for path in paths(cnn())] == ["entry", "depthwise", "pointwise", "head"]


def test_a_tied_variable_is_found_once() -> None:
    class Tied(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = first.kernel

        def call(self, x: Any) -> Any:
            return x @ keras.ops.transpose(self.kernel)

    first = layers.Dense(4, name="first", use_bias=False)
    model = keras.Sequential([keras.Input((3,)), first, Tied()])
    assert [kernel.layer for kernel in kernels.find(model)] == [first]


def test_a_subclass_of_a_layer_is_laid_out_as_it_is() -> None:
    class Mine(layers.Conv2DTranspose):
        pass

    assert only(Mine(5, 2), (4, 4, 3)).matrices().shape == (4, 5, 3)


def test_walk_has_outer_layers_first_and_each_once() -> None:
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, name="deep")], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, inner], name="outer")
    names = [layer.name for layer in kernels.walk(model)]
    assert names[0] == "outer"
    assert len({id(layer) for layer in kernels.walk(model)}) == len(names)
    assert names.index("inner") < names.index("deep")


@pytest.mark.parametrize("freeze", ["layer", "variable", "model"])
def test_frozen_kernels_are_not_trainable(mlp: Callable[[], Any], freeze: str) -> None:
    model = mlp()
    first = model.get_layer("dense1")
    {"layer": first, "variable": first.kernel, "model": model}[freeze].trainable = False
    wanted = {"dense1": False, "dense2": freeze != "model"}
    assert {k.layer.name: k.trainable for k in kernels.find(model)} == wanted
