"""TFMOT and Keras 2, where they are installed, and real images to compare predictions on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # what TFMOT was written for; read by tensorflow when it is imported

import numpy as np
import pytest

from keras_sparse.demo import data

Array = np.ndarray


@pytest.fixture(scope="session")
def k2() -> Any:
    return pytest.importorskip("tf_keras", reason="tf_keras is not installed")


@pytest.fixture(scope="session")
def tfmot(k2: Any) -> Any:
    return pytest.importorskip("tensorflow_model_optimization", reason="TFMOT is not installed")


@pytest.fixture(scope="session")
def fashion() -> tuple[Array, Array, Array, Array]:
    """Fashion-MNIST, the subset that is shipped: training images in [0, 1] and labels, test images and labels."""
    found = data.load(data.EMBEDDED)
    images = [each[..., None] / np.float32(255) for each in (found.x_train, found.x_test)]
    return images[0], found.y_train, images[1], found.y_test


@pytest.fixture
def noise() -> Callable[..., Array]:
    """Random inputs of a shape."""
    return lambda *shape: np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="session")
def quantized(tfmot: Any) -> Callable[..., Any]:
    """A model quantized by TFMOT as a whole, its ranges moved by some batches; with `grid`, on TFMOT's own int8 grid.

    On the grid every channel of every kernel has the same peak, and every weight is a level other than 0 of both
    schemes, so that both round to the same values.
    """

    def quantize(model: Any, *inputs: Array, grid: bool = False, scheme: Any = None, steps: int = 3) -> Any:
        if grid:
            rng = np.random.default_rng(1)
            for layer in model.layers:
                values = layer.get_weights()
                for number, each in enumerate(values):
                    if each.ndim > 1:
                        levels = rng.integers(1, 127, each.shape) * rng.choice([-1, 1], each.shape)
                        levels.reshape(-1, each.shape[-1])[0] = 127
                        if "depthwise" in layer.name:
                            levels[0, 0] = 127
                        values[number] = (levels / 127 * 0.3).astype(np.float32)
                layer.set_weights(values)
        made = tfmot.quantization.keras.quantize_model(model)
        for _ in range(steps):
            made(inputs[0] if len(inputs) == 1 else list(inputs), training=True)
        return made

    return quantize


@pytest.fixture
def on_arrays() -> Callable[..., list[Array]]:
    """Outputs of a model of either Keras, as a list."""

    def call(model: Any, *inputs: Array) -> list[Array]:
        found = model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)
        return [np.asarray(each) for each in (found if isinstance(found, list | tuple) else [found])]

    return call
