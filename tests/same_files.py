"""Writes every kind of file that there is into a folder, for a test that does so in two processes."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np

import keras_sparse as ks


def model() -> keras.Model:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((8, 8, 2), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu", name="first")(inputs)
    y = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, y]))
    made = keras.Model(inputs, keras.layers.Dense(4, name="scores")(x))
    for layer in made.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            kernel[np.abs(kernel) < np.quantile(np.abs(kernel), 0.6)] = 0
            kernel[..., 1::2, :] = 0  # sums of two products fit int16, where processors have only kernels that add so
            layer.set_weights([kernel, bias])
    return made


def main(folder: Path) -> None:
    made = model()
    samples = np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")
    for scheme in (None, "int8", "int8-weights", "float16"):
        for suffix in (".tflite", ".onnx"):
            path = folder / f"{scheme}{suffix}"
            ks.export(made, path, samples=samples, quantize=scheme)
            ks.pack(path, f"{path}.pack")
            ks.unpack(f"{path}.pack", f"{path}.again")
    ks.export(made, folder / "smallest.tflite", encoding="smallest")
    ks.shrink(folder / "int8.tflite", folder / "shrunk.tflite")
    ks.bundle(folder / "int8.tflite", folder / "model.ksb", labels=list("abcd"), metrics={"b": 1.0, "a": 2.0})
    ks.save_weights(made, folder / "weights.h5")
    ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(at=0.5)), ks.Quantize()]).save(folder / "recipe.yaml")
    ks.recommend(made, "litert", "size").save(folder / "recommended.yaml")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
