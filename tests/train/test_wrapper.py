"""The wrapper that calls a layer with its kernels on the int8 grid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_sparse as ks
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.train import kernels
from keras_sparse.train.wrapper import QuantizedWeights

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "Dense": (lambda: layers.Dense(4, activation="relu"), (5,)),
    "Conv2D": (lambda: layers.Conv2D(4, 3, padding="same"), (5, 5, 3)),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 3)),
    "Conv1D": (lambda: layers.Conv1D(4, 3), (7, 3)),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(4, 3), (3, 3, 3)),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(4, 3), (5, 5, 3)),
}


def pair(name: str) -> tuple[Any, Any, np.ndarray]:
    """A wrapped layer, the same layer with its kernels on the grid, and an input."""
    make, shape = LAYERS[name]
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    wrapper, plain = QuantizedWeights(make()), make()
    wrapper(x)
    plain(x)
    plain.set_weights(wrapper.layer.get_weights())
    return wrapper, plain, x


@pytest.mark.parametrize("name", LAYERS)
def test_off_it_is_the_layer(name: str) -> None:
    wrapper, plain, x = pair(name)
    np.testing.assert_array_equal(wrapper(x), plain(x))


@pytest.mark.parametrize("name", LAYERS)
def test_on_it_is_the_layer_with_kernels_on_the_grid(name: str) -> None:
    wrapper, plain, x = pair(name)
    wrapper.active.assign(1.0)
    before = wrapper.layer.get_weights()
    for kernel in kernels.find(plain):
        stored = SparseTensor.quantized("k", kernel.variable.numpy(), kernel.layout)
        kernel.variable.assign(stored.dense())
    np.testing.assert_allclose(wrapper(x), plain(x), rtol=1e-6, atol=1e-6)
    assert not np.allclose(wrapper(x), wrapper.layer(x), rtol=1e-6, atol=1e-6)
    for ours, theirs in zip(wrapper.layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)  # the variables stay float


@pytest.mark.parametrize("eagerly", [True, False])
def test_the_float_kernel_is_trained_through_it(eagerly: bool) -> None:
    model = keras.Sequential([keras.Input((5,)), QuantizedWeights(layers.Dense(4, name="inner"), name="outer")])
    model.layers[0].active.assign(1.0)
    inner = model.layers[0].layer
    kernel, bias = inner.kernel.numpy(), inner.bias.numpy()
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=eagerly)
    stored = SparseTensor.quantized("k", kernel, kernels.find(model)[0].layout).dense()
    model.fit(x, np.zeros((8, 4)), batch_size=8, verbose=0)
    errors = 2 * (x @ stored + bias) / (8 * 4)  # of the mean square, at the quantized kernel
    np.testing.assert_allclose(inner.kernel.numpy(), kernel - 0.1 * (x.T @ errors), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(inner.bias.numpy(), bias - 0.1 * errors.sum(axis=0), rtol=1e-4, atol=1e-6)


def test_a_layer_without_a_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'bn' \(BatchNormalization\) has no kernel"):
        QuantizedWeights(layers.BatchNormalization(name="bn"))(np.zeros((1, 3), np.float32))


def test_regularizers_count_once() -> None:
    arguments: dict[str, Any] = {
        "kernel_regularizer": keras.regularizers.L2(0.1),
        "bias_regularizer": keras.regularizers.L1(0.1),
        "activity_regularizer": keras.regularizers.L2(0.01),
        "bias_initializer": "ones",
    }
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    plain = keras.Sequential([keras.Input((5,)), layers.Dense(4, **arguments)])
    model = ks.prepare(plain, ks.Recipe([ks.Quantize()]))
    losses = []
    for each in (plain, model):
        each.compile(keras.optimizers.SGD(0.0), "mse")
        losses.append(each.evaluate(x, np.zeros((8, 4)), verbose=0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    plain(x), model(x)
    assert sorted(map(float, plain.losses)) == pytest.approx(sorted(map(float, model.losses)))


class Subclassed(keras.Model):
    """A subclassed model uses the wrapper in its constructor."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first = QuantizedWeights(layers.Dense(8, activation="relu", name="first"))
        self.last = QuantizedWeights(layers.Dense(3, name="last"))

    def call(self, x: Any) -> Any:
        return self.last(self.first(x))


def test_in_a_subclassed_model(vectors: tuple[np.ndarray, np.ndarray]) -> None:
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0)), ks.Quantize(begin=4)])
    model = Subclassed()
    model.compile("adam", "mse")
    model.fit(*vectors, batch_size=8, verbose=0, callbacks=[ks.Sparsify(recipe)])
    assert float(model.first.active) == float(model.last.active) == 1.0
    assert [int(np.sum(k.matrices() == 0)) for k in kernels.find(model)] == [24, 12]


def test_saved_and_loaded(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5,)), QuantizedWeights(layers.Dense(4, name="inner"), name="outer")])
    model.layers[0].active.assign(1.0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert loaded.layers[0].name == "outer"
    assert loaded.layers[0].layer.name == "inner"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_only_the_layer_casts(policy: str) -> None:
    """The grid is that of the float32 kernel, as it is stored; a grid in half precision would be another one."""
    x = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)
    wrapper = QuantizedWeights(layers.Dense(4, dtype=policy))
    plain = layers.Dense(4, dtype=policy)
    assert wrapper(x).dtype == plain(x).dtype
    kernel = wrapper.layer.kernel.numpy().astype(np.float32)
    plain.kernel.assign(SparseTensor.quantized("k", kernel, kernels.find(plain)[0].layout).dense())
    wrapper.active.assign(1.0)
    np.testing.assert_array_equal(np.asarray(wrapper(x), np.float64), np.asarray(plain(x), np.float64))
    model = keras.Sequential([keras.Input((5,)), wrapper])
    assert keras.backend.standardize_dtype(model.outputs[0].dtype) == keras.backend.standardize_dtype(model(x).dtype)


@pytest.mark.parametrize("how", ["eager", "graph", "XLA"])
@pytest.mark.parametrize("active", [0.0, 1.0])
def test_gradients_pass_straight_through_in_both_branches(active: float, how: str) -> None:
    wrapper, plain, x = pair("Dense")
    wrapper.active.assign(active)
    if active:
        kernel = kernels.find(plain)[0]
        kernel.variable.assign(SparseTensor.quantized("k", kernel.variable.numpy(), kernel.layout).dense())

    def gradients(layer: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        return tape.gradient(loss, [variable.value for variable in layer.trainable_variables])

    function = gradients if how == "eager" else tf.function(gradients, jit_compile=how == "XLA")
    for ours, theirs in zip(function(wrapper), gradients(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_off_it_does_not_compute_with_its_kernel() -> None:
    wrapper, _, x = pair("Dense")
    graph = tf.function(wrapper).get_concrete_function(tf.TensorSpec(x.shape, "float32")).graph
    large = {op.type for op in graph.get_operations() for each in op.outputs if each.shape == (5, 4)}
    assert large <= {"ReadVariableOp", "If", "StatelessIf", "Identity"}
