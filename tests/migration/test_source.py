"""Graphs of Keras 2: shared and nested layers, several inputs and outputs, and models without a graph."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.migration import source
from keras_sparse.migration.source import Tensor


def test_calls_in_order(k2: Any) -> None:
    x = k2.Input((4,), name="x")
    dense = k2.layers.Dense(4, name="dense")
    y = k2.layers.Add(name="add")([dense(x), dense(dense(x))])
    found = source.read(k2.Model(x, {"y": y, "x": x}))
    assert found.inputs == Tensor("x", 0, 0)
    assert found.outputs == {"y": Tensor("add", 0, 0), "x": Tensor("x", 0, 0)}
    assert found.shapes == {Tensor("x", 0, 0): ("x", (None, 4), "float32")}
    made = {("x", 0)}
    for call in found.calls:
        assert {(t.layer, t.call) for t in call.tensors} <= made
        made.add((call.layer.name, call.number))
    assert made == {("x", 0), ("dense", 0), ("dense", 1), ("dense", 2), ("add", 0)}


def test_a_graph_with_everything(k2: Any, noise: Any, on_arrays: Any) -> None:
    """Two inputs, a shared layer, a shared model inside the model with another in it, keyword tensors, two outputs."""
    la = k2.layers
    a, b = k2.Input((5,), name="a"), k2.Input((5,), name="b")
    inner = k2.Sequential([k2.Input((5,)), la.Dense(6, name="dense"), la.LeakyReLU(0.2)], name="inner")
    z = k2.Input((5,))
    middle = k2.Model(z, [inner(z), la.Dense(6, name="side")(z)], name="middle")
    shared = la.Dense(5, activation="relu", name="shared")
    one, two = middle(shared(a))
    three, four = middle(shared(shared(b)))
    both = la.Concatenate(name="both")([one, two, three, four])
    heads = la.Reshape((4, 6))(both)
    attention = la.MultiHeadAttention(1, 3)(heads, value=heads, key=heads)
    old = k2.Model([a, b], [la.Dense(2, name="dense")(both), la.Flatten()(attention)], name="all")
    new = ks.from_tfmot(old)
    assert isinstance(new, keras.Model) and new.count_params() == old.count_params()
    assert [layer.name for layer in new.layers] == [layer.name for layer in old.layers]
    assert isinstance(new.get_layer("middle").get_layer("inner"), keras.Sequential)
    x = noise(3, 5), noise(3, 5) + 1
    for ours, theirs in zip(on_arrays(new, *x), on_arrays(old, *x), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sequential", [True, False])
def test_a_layer_shared_with_a_model_inside(sequential: bool, k2: Any, noise: Any, on_arrays: Any) -> None:
    shared, x, z = k2.layers.Dense(4, name="shared"), k2.Input((4,)), k2.Input((4,))
    inner = k2.Sequential([k2.Input((4,)), shared]) if sequential else k2.Model(z, shared(z))
    for build in (lambda: inner(shared(x)), lambda: shared(inner(x))):
        old = k2.Model(x, build())
        new = ks.from_tfmot(old)
        assert new.count_params() == old.count_params() == 20
        np.testing.assert_allclose(on_arrays(new, noise(2, 4))[0], on_arrays(old, noise(2, 4))[0], rtol=1e-5)


def test_structures_of_inputs_and_outputs(k2: Any, noise: Any) -> None:
    a, b = k2.Input((3,), name="a"), k2.Input((3,), name="b")
    new = ks.from_tfmot(k2.Model({"a": a, "b": b}, {"sum": k2.layers.Add(name="add")([a, b])}))
    x, y = noise(2, 3), noise(2, 3) + 1
    np.testing.assert_allclose(new.predict({"b": y, "a": x}, verbose=0)["sum"], x + y)


def test_what_has_no_graph(k2: Any) -> None:
    class Own(k2.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    own = Own(name="own")
    own(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"built Sequential or functional .* 'own', a Own without known inputs"):
        ks.from_tfmot(own)
    with pytest.raises(ValueError, match="'early', a Sequential that is not built"):
        ks.from_tfmot(k2.Sequential([k2.layers.Dense(3)], name="early"))
    x = k2.Input((3,))
    with pytest.raises(ValueError, match="'own'"):
        ks.from_tfmot(k2.Model(x, own(x)))


def test_a_sequential_built_by_its_first_call(k2: Any, noise: Any, on_arrays: Any) -> None:
    old = k2.Sequential([k2.layers.Dense(3), k2.layers.ReLU()])
    old.build((None, 4))
    np.testing.assert_allclose(on_arrays(ks.from_tfmot(old), noise(2, 4))[0], on_arrays(old, noise(2, 4))[0], rtol=1e-6)


def test_sparse_inputs(k2: Any) -> None:
    x = k2.Input((3,), sparse=True, name="x")
    with pytest.raises(ValueError, match="Input 'x' takes sparse or ragged tensors"):
        ks.from_tfmot(k2.Model(x, k2.layers.Dense(2)(x)))


@pytest.mark.parametrize("given", [3, None, object()])
def test_what_is_no_model(given: Any) -> None:
    with pytest.raises(TypeError, match="A tf_keras model, or the path of one, was required"):
        ks.from_tfmot(given)


def test_a_keras_3_model() -> None:
    with pytest.raises(TypeError, match="a Keras 3 model, which needs no migration"):
        ks.from_tfmot(keras.Sequential([keras.Input((3,))]))
