"""Models inside models, and subclassed ones, as a graph of plain layers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_sparse.train import expand

X = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")


class Block(keras.Model):
    """A residual block whose layers have the same names in every block."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.second = layers.Dense(8, name="fc", activation="relu"), layers.Dense(8, name="fc2")
        self.dropout = layers.Dropout(0.5)

    def call(self, inputs: Any, training: Any = None) -> Any:
        return ops.relu(self.second(self.dropout(self.first(inputs), training=training)) + inputs)


class Net(keras.Model):
    """Blocks in a list, a Sequential model and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [Block(), Block()]
        self.tail = keras.Sequential([layers.Dense(8, name="fc")])
        self.out = layers.Dense(3, activation="softmax")

    def call(self, inputs: Any, training: Any = None) -> Any:
        for block in self.blocks:
            inputs = block(inputs, training=training)
        return self.out(self.tail(inputs))


class Raw(keras.Model):
    """Calls TensorFlow itself."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return tf.nn.relu(self.dense(inputs))


class Two(keras.Model):
    """Takes and gives dictionaries; one layer is shared."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return {"sum": self.dense(inputs["a"]) + self.dense(inputs["b"]), "same": inputs["a"]}


def plain(model: Any, samples: Any = None) -> Any:
    return expand.expanded(expand.wrapped(model, samples))


def test_a_subclassed_model_of_models_becomes_its_layers() -> None:
    model = Net()
    wanted = model(X)
    found = plain(model)
    names = [layer.name for layer in found.layers]
    assert not any(isinstance(layer, keras.Model) for layer in found.layers)
    assert len(names) == len(set(names)) == 9
    np.testing.assert_allclose(found(X), wanted, rtol=1e-6, atol=1e-7)


def test_the_model_itself_is_not_changed_or_shared() -> None:
    model = Net()
    model(X)
    before = [np.array(v) for v in model.weights]
    for variable in plain(model).weights:
        variable.assign(variable + 1.0)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_inputs_have_the_names_and_the_structure_of_the_call() -> None:
    model = Two()
    wanted = model({"a": X, "b": 2 * X})
    found = plain(model)
    assert [tensor.name for tensor in found.inputs] == ["a", "b"]
    made = found.predict({"a": X, "b": 2 * X}, verbose=0)
    assert set(made) == {"sum", "same"}
    np.testing.assert_allclose(made["sum"], wanted["sum"], rtol=1e-5, atol=1e-6)


def test_a_shared_layer_stays_one() -> None:
    shared = keras.Sequential([keras.Input((8,)), layers.Dense(8, name="d")], name="inner")
    inputs = keras.Input((8,))
    model = keras.Model(inputs, shared(shared(inputs)))
    found = expand.expanded(model)
    assert [layer.name for layer in found.layers if layer.weights] == ["inner_d"]
    np.testing.assert_allclose(found(X), model(X), rtol=1e-6)


def test_what_calls_tensorflow_stays_a_layer() -> None:
    model = Raw()
    wanted = model(X)
    found = plain(model)
    assert [type(layer).__name__ for layer in found.layers] == ["InputLayer", "Raw"]
    np.testing.assert_array_equal(found(X), wanted)


def test_a_model_never_called_is_built_from_samples() -> None:
    assert expand.wrapped(Raw(), X).input_shape == (None, 8)
    assert expand.wrapped(Raw(), X.astype("float64")).inputs[0].dtype == "float32"
    with pytest.raises(ValueError, match=r"inputs of 'raw.*are not known\. Call it once"):
        expand.wrapped(Raw())


def test_layers_that_are_not_to_be_opened_stay() -> None:
    inputs = keras.Input((8,))
    model = keras.Model(inputs, Block(name="inner")(inputs))
    assert expand.expanded(model, subclassed=False) is model
    assert "inner_fc" in [layer.name for layer in expand.expanded(model).layers]


def test_a_flat_model_is_returned_as_it_is() -> None:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(2)])
    flat = expand.wrapped(model)
    assert expand.expanded(flat) is flat
    assert flat.layers[-1] is model.layers[-1]


def test_a_call_that_decides_by_training_is_that_of_inference() -> None:
    class Decides(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs: Any, training: Any = None) -> Any:
            outputs = self.dense(inputs)
            return 2.0 * outputs if training is False else outputs

    model = Decides()
    wanted = model(X, training=False)
    np.testing.assert_allclose(expand.wrapped(model)(X), wanted, rtol=1e-6)


def test_a_call_of_several_arguments_says_what_is_asked_for() -> None:
    class Several(keras.Model):
        def call(self, one: Any, other: Any) -> Any:
            return one + other

    with pytest.raises(ValueError, match="given its inputs as one argument"):
        expand.wrapped(Several(), [X, X])
