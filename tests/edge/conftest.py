"""The runner on the path as a device would install it, and models small enough to read."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

EDGE = Path(__file__).resolve().parents[2] / "edge"
sys.path.insert(0, str(EDGE))


@pytest.fixture(scope="session")
def edge_folder() -> Path:
    return EDGE


@pytest.fixture(scope="session")
def stub() -> bytes:
    """Stands for a model where only the archive is looked at."""
    return b"no .tflite file, and the reader does not look into it"


@pytest.fixture
def document(stub: bytes) -> dict[str, Any]:
    """A good manifest of `stub`, fresh for every test."""
    return {
        "format": "keras-sparse-bundle",
        "format_version": 1,
        "members": {"model.tflite": {"sha256": hashlib.sha256(stub).hexdigest(), "bytes": len(stub)}},
        "inputs": [{"name": "x", "shape": [1, 2, 2, 1], "dtype": "int8", "scale": 0.5, "zero_point": -3}],
        "outputs": [{"name": "y", "shape": [1, 2], "dtype": "float32", "scale": None, "zero_point": None}],
        "labels": ["cat", "dog"],
        "preprocessing": {"dtype": "uint8", "shape": [2, 2], "scale": 0.25, "offset": -1},
        "postprocessing": "softmax",
        "metrics": {"accuracy": 0.5, "count": 3},
        "recipe": {"rules": [1, None, {"a": "b"}]},
        "versions": {"keras": "3.15.1"},
    }


@pytest.fixture(scope="session")
def models() -> dict[str, bytes]:
    """`y = x @ w` as .tflite: x is [1, 4, 4, 1], y is [1, 3], w[i, c] = 1 where i % 3 == c.

    "float32" has float tensors, "int8" integer ones.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, use_bias=False)])
    model.layers[-1].set_weights([np.eye(3, dtype="float32")[np.arange(16) % 3]])
    samples = np.linspace(0, 1, 8 * 16, dtype="float32").reshape(8, 1, 4, 4, 1)
    exact = tf.lite.TFLiteConverter.from_keras_model(model)
    quantized = tf.lite.TFLiteConverter.from_keras_model(model)
    quantized.optimizations = [tf.lite.Optimize.DEFAULT]
    quantized.representative_dataset = lambda: ([sample] for sample in samples)
    quantized.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    quantized.inference_input_type = quantized.inference_output_type = tf.int8
    return {"float32": exact.convert(), "int8": quantized.convert()}


@pytest.fixture
def bundle_bytes(models: dict[str, bytes], tmp_path: Path) -> bytes:
    """A good bundle of the int8 model, for tests to break."""
    from keras_sparse.exporting.bundle import write_bundle

    path = tmp_path / "good.ksb"
    write_bundle(
        path,
        models["int8"],
        labels=["zero", "one", "two"],
        preprocessing={"dtype": "uint8", "shape": [4, 4], "scale": 1 / 255},
        metrics={"accuracy": 0.75},
        recipe={"rules": [{"prune": {"sparsity": 0.5}}]},
        versions={"keras": "3.15.1"},
    )
    return path.read_bytes()
