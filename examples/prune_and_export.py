"""You have a Keras model that trains; you want it small: 80 % zeros, int8, as a .tflite file that was checked.

python examples/prune_and_export.py [--smoke]
"""

import argparse

import keras
import numpy as np
from keras import layers

import keras_sparse as ks


def images(count, seed):
    """Noisy 20x20 images with a bright square in one of four corners: the corner is the class."""
    generator = np.random.default_rng(seed)
    x = generator.normal(0.0, 0.5, (count, 20, 20, 1)).astype("float32")
    y = generator.integers(0, 4, count)
    for image, corner in zip(x, y, strict=True):
        row, col = 10 * (corner // 2), 10 * (corner % 2)
        image[row + 2 : row + 8, col + 2 : col + 8] += 0.5
    return x, y


def build():
    return keras.Sequential(
        [
            keras.Input((20, 20, 1)),
            layers.Conv2D(16, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(40, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(40, activation="relu"),
            layers.Dense(4),
        ]
    )


def main(smoke):
    x, y = images(500 if smoke else 4000, seed=0)
    x_test, y_test = images(500, seed=1)

    # 1. What is done, and when, as fractions of the fit.
    recipe = ks.Recipe(
        [
            ks.Prune(ks.Unstructured(0.8), ks.Cubic(begin=0.1, end=0.6, every=10)),
            ks.Quantize(begin=0.6),
        ]
    )
    # 2. Your model, your compile, your fit; one callback.
    model = ks.prepare(build(), recipe)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    model.fit(x, y, epochs=2 if smoke else 8, batch_size=50, callbacks=[ks.Sparsify(recipe)], verbose=2)
    print("accuracy in Keras:", model.evaluate(x_test, y_test, verbose=0)[1])

    # 3. One call: strip, convert, write, run in the runtime, compare.
    artifact = ks.export(model, "corners.tflite", samples=x[:256])
    print(artifact)

    # The same model as it was, in float, for comparison.
    dense = ks.export(build(), "corners_dense.tflite", samples=x[:256])
    print(f"gzipped: {dense.report.bytes_gzip} bytes in float, {artifact.report.bytes_gzip} sparse in int8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it works")
    main(parser.parse_args().smoke)
