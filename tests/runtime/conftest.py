"""Tiny files that need neither Keras nor a converter to be trusted: y = 2 x + 1, made once."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """{suffix: path} of a model (3,) -> (2,) whose kernel is all 2 and whose bias is 1."""
    import keras

    import keras_sparse as ks

    model = keras.Sequential([keras.Input((3,), name="x"), keras.layers.Dense(2)])
    model.layers[0].set_weights([np.full((3, 2), 2.0, np.float32), np.ones(2, np.float32)])
    folder = tmp_path_factory.mktemp("runtime")
    return {suffix: ks.export(model, folder / f"m{suffix}").path for suffix in (".tflite", ".onnx")}
