"""Models are read and rebuilt, and nothing about them changes on the way."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from keras_sparse.train import graph


class Mine(keras.Model):
    def call(self, x: Any) -> Any:
        return x


def as_before(old, new, args, kwargs):
    return new(*args, **kwargs)


def multi() -> Any:
    """Two named inputs and outputs, a shared layer, functions of keras.ops, call arguments, and a nested model."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    layer = layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="deep")], name="inner")
    left, right = layer(a), layer(inputs=b)
    total = layers.Maximum(name="larger")([left, right]) * 2.0 + keras.ops.gelu(left)
    attended = layers.MultiHeadAttention(1, 2, name="attend")(
        keras.ops.expand_dims(total, 1), value=keras.ops.expand_dims(inner(b), 1)
    )
    return keras.Model({"a": a, "b": b}, {"sum": total, "out": layers.Flatten()(attended)}, name="multi")


def test_a_rebuilt_model_computes_the_same(cnn: Any, residual: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 6, 6, 3)).astype(np.float32)
    for model in (cnn(), residual()):
        again = graph.rebuild(model, as_before)
        np.testing.assert_array_equal(again(x), model(x))
        assert [layer.name for layer in again.layers if not isinstance(layer, layers.InputLayer)] == [
            layer.name for layer in model.layers if not isinstance(layer, layers.InputLayer)
        ]
        assert not {id(v) for v in again.variables} & {id(v) for v in model.variables}


def test_many_inputs_and_outputs() -> None:
    model = multi()
    again = graph.rebuild(model, as_before)
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(3, 4)).astype(np.float32) for name in "ab"}
    for name, value in model(x).items():
        np.testing.assert_allclose(again(x)[name], value, rtol=1e-6)


def test_each_layer_is_made_once_and_each_call_seen() -> None:
    made, calls = [], []

    def make(layer: Any) -> None:
        made.append(layer.name)

    def call(old: Any, new: Any, args: Any, kwargs: Any) -> Any:
        calls.append(old.name)
        return new(*args, **kwargs)

    graph.rebuild(multi(), call, make)
    assert sorted(set(made)) == sorted(made)
    assert calls.count("shared") == 2
    assert {"shared", "inner", "attend", "larger"} <= set(calls)


def test_a_trace_names_every_tensor() -> None:
    trace = graph.trace(multi())
    by_name: dict[str, list[Any]] = {}
    for call in trace.calls:
        by_name.setdefault(call.layer.name, []).append(call)
    first, second = by_name["shared"]
    assert {first.inputs[0], second.inputs[0]} == set(trace.inputs)
    (larger,) = by_name["larger"]
    assert sorted(larger.inputs) == sorted((*first.outputs, *second.outputs))
    assert len(trace.outputs) == 2
    uses = trace.uses()
    assert uses[second.inputs[0]] == 2  # by the shared layer and the model inside
    assert all(uses[tensor] >= 1 for tensor in trace.outputs)


def test_a_model_without_a_graph_is_refused() -> None:
    with pytest.raises(ValueError, match=r"functional or Sequential.*'mine', a Mine.*can be pruned"):
        graph.functional(Mine(name="mine"))
    with pytest.raises(ValueError, match=r"'empty' is not built.*keras.Input"):
        graph.functional(keras.Sequential([layers.Dense(3)], name="empty"))
    called = keras.Sequential([layers.Dense(3)], name="called")
    called(np.zeros((1, 2), np.float32))
    assert graph.functional(called).output_shape[-1] == 3


def test_a_sequential_becomes_functional_with_the_same_layers(cnn: Any) -> None:
    model = cnn()
    made = graph.functional(model)
    assert made.name == model.name
    assert made.get_layer("head") is model.get_layer("head")
    assert graph.functional(made) is made
