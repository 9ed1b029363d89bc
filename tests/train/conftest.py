"""Small models and data for the tests of training, and callbacks that look on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.train import kernels
from keras_sparse.train.mask import MaskConstraint
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights

FEATURES, CLASSES = 6, 3
Model = Any
Array = np.ndarray


@pytest.fixture(autouse=True)
def policy() -> Iterator[None]:
    """A test may set the dtype policy; the next one has the default again."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def vectors() -> tuple[Array, Array]:
    """64 items: 8 batches of 8."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(64, FEATURES)).astype(np.float32), rng.normal(size=(64, CLASSES)).astype(np.float32)


@pytest.fixture
def images() -> tuple[Array, Array]:
    """16 items of 6x6x3, and targets of 3 numbers."""
    rng = np.random.default_rng(2)
    return rng.normal(size=(16, 6, 6, 3)).astype(np.float32), rng.normal(size=(16, CLASSES)).astype(np.float32)


@pytest.fixture
def mlp() -> Callable[..., Model]:
    """A built Sequential: dense1 (6 -> 8, ReLU), dense2 (8 -> 3). Arguments go to both layers."""

    def build(**arguments: Any) -> Model:
        return keras.Sequential(
            [
                keras.Input((FEATURES,)),
                layers.Dense(8, activation="relu", name="dense1", **arguments),
                layers.Dense(CLASSES, name="dense2", **arguments),
            ]
        )

    return build


@pytest.fixture
def cnn() -> Callable[..., Model]:
    """The DS-CNN family in small: entry, depthwise and 1x1 convolutions with BatchNorm and ReLU, pooling, Dense."""

    def build(dropout: float = 0.1) -> Model:
        return keras.Sequential(
            [
                keras.Input((6, 6, 3)),
                layers.ZeroPadding2D(1, name="pad"),
                layers.Conv2D(4, 3, strides=2, use_bias=False, name="entry"),
                layers.BatchNormalization(name="entry_bn"),
                layers.ReLU(6.0, name="entry_relu"),
                layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"),
                layers.BatchNormalization(name="depthwise_bn"),
                layers.ReLU(name="depthwise_relu"),
                layers.Conv2D(8, 1, activation="relu", name="pointwise"),
                layers.GlobalAveragePooling2D(keepdims=True, name="pool"),
                layers.Flatten(name="flatten"),
                layers.Dropout(dropout, name="dropout"),
                layers.Dense(CLASSES, activation="softmax", name="head"),
            ]
        )

    return build


@pytest.fixture
def residual() -> Callable[[], Model]:
    """A functional model: a residual Add with ReLU, and a Concatenate of two branches."""

    def build() -> Model:
        inputs = keras.Input((6, 6, 3), name="image")
        trunk = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(inputs)
        branch = layers.Conv2D(4, 1, name="conv2")(trunk)
        branch = layers.BatchNormalization(name="bn2")(branch)
        total = layers.ReLU(name="relu")(layers.Add(name="add")([branch, trunk]))
        left = layers.Conv2D(2, 1, name="left")(total)
        right = layers.MaxPooling2D(1, name="right")(total)
        both = layers.Concatenate(name="concat")([left, right])
        outputs = layers.Dense(CLASSES, name="head")(layers.Flatten(name="flatten")(both))
        return keras.Model(inputs, outputs, name="residual")

    return build


class Look(keras.callbacks.Callback):
    """Calls a function after every batch, with what Keras passes; keeps the answers."""

    def __init__(self, look: Callable[[Model], Any]) -> None:
        super().__init__()
        self.look = look
        self.seen: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(self.look(self.model))


class StopAfter(keras.callbacks.Callback):
    """Ends the fit after an epoch, or in the middle of one after a batch."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        super().__init__()
        self.epoch, self.batch, self.now = epoch, batch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.now = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.now == self.epoch and batch == self.batch:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            self.model.stop_training = True


@pytest.fixture
def look() -> type[Look]:
    return Look


@pytest.fixture
def stop_after() -> type[StopAfter]:
    return StopAfter


def count_zeros(model: Model) -> dict[str, int]:
    return {k.path: int(np.sum(keras.ops.convert_to_numpy(k.variable) == 0)) for k in kernels.find(model)}


@pytest.fixture
def zeros() -> Callable[[Model], dict[str, int]]:
    """{path: zeros} of all kernels."""
    return count_zeros


@pytest.fixture
def masked() -> Callable[[Model], list[str]]:
    """The paths of the variables that have a mask on them."""
    return lambda model: [v.path for v in model.variables if isinstance(v.constraint, MaskConstraint)]


@pytest.fixture
def trained(images: tuple[Array, Array]) -> Callable[..., Model]:
    """A model prepared for a recipe and trained with it for some steps on images, or on data of its own."""

    def train(model: Model, recipe: ks.Recipe | None = None, x: Any = None, y: Any = None, epochs: int = 2) -> Model:
        recipe = recipe or ks.Recipe([ks.Quantize()])
        prepared = ks.prepare(model, recipe)
        prepared.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
        x, y = images if x is None else (x, y)
        prepared.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[ks.Sparsify(recipe)])
        return prepared

    return train


@pytest.fixture
def wiring() -> Callable[[Model], dict[str, list[list[str]]]]:
    """{layer or operation: for each call, the names of those that its inputs come from}, from the model's config."""

    def read(model: Model) -> dict[str, list[list[str]]]:
        found: dict[str, list[list[str]]] = {}
        for layer in model.get_config()["layers"]:
            calls = []
            for node in layer["inbound_nodes"]:
                sources: list[str] = []

                def visit(value: Any, sources: list[str] = sources) -> None:
                    if isinstance(value, dict):
                        history = value.get("config", {}).get("keras_history") if "config" in value else None
                        if history:
                            sources.append(history[0])
                        else:
                            for each in value.values():
                                visit(each)
                    elif isinstance(value, list | tuple):
                        for each in value:
                            visit(each)

                visit(json.loads(json.dumps([node["args"], node["kwargs"]])))
                calls.append(sources)
            found[layer["name"]] = calls
        return found

    return read


@pytest.fixture
def ranges() -> Callable[[Model], dict[str, tuple[float, float]]]:
    """{name: (low, high)} of the ranges of a prepared model."""

    def read(model: Model) -> dict[str, tuple[float, float]]:
        found = [each for each in kernels.walk(model) if isinstance(each, ActivationRange)]
        return {each.name: (float(each.limits()[0]), float(each.limits()[1])) for each in found}

    return read


@pytest.fixture
def wrapped() -> Callable[[Model], list[str]]:
    """The names of the wrapped layers."""
    return lambda model: [each.layer.name for each in kernels.walk(model) if isinstance(each, QuantizedWeights)]
