"""A small model as training leaves it: pruned, quantized, with every kind of layer that is int8 in files."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

SHAPE = (12, 12, 3)


def build():
    """Strided entry, depthwise, 1x1, residual Add, Concatenate, pooling, Flatten, Dropout, Dense and softmax."""
    import keras
    from keras import layers

    def bn_relu(x):
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input(SHAPE, name="image")
    x = layers.ZeroPadding2D(1)(inputs)
    x = bn_relu(layers.Conv2D(8, 3, strides=2, use_bias=False, name="entry")(x))
    y = bn_relu(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="dw")(x))
    y = layers.BatchNormalization()(layers.Conv2D(8, 1, name="pw")(y))
    x = layers.ReLU(max_value=6)(layers.Add()([x, y]))
    a = layers.Conv2D(4, 1, activation="relu", name="left")(x)
    b = layers.Conv2D(6, 3, padding="same", name="right")(x)
    x = layers.AveragePooling2D(2)(layers.Concatenate()([a, b]))
    x = layers.MaxPooling2D(3)(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    x = layers.Dense(20, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="scores")(x), name="small")


@pytest.fixture(scope="session")
def trained():
    """`.model` (prepared, pruned and quantized), `.dense` (float), `.recipe`, `.x`."""
    import keras

    import keras_sparse as ks

    keras.utils.set_random_seed(3)
    generator = np.random.default_rng(3)
    x = generator.normal(size=(256, *SHAPE)).astype(np.float32)
    y = (x.mean((1, 2)) @ generator.normal(size=(3, 5))).argmax(1)
    dense = build()
    recipe = ks.Recipe(
        [
            ks.Prune(ks.NofM(2, 4), ks.OneShot(2), match="pw/kernel"),
            ks.Prune(ks.Unstructured(0.75), ks.Cubic(begin=0.0, end=0.5, every=2), match=["hidden/*", "right/*"]),
            ks.Quantize(begin=0.5),
        ]
    )
    model = ks.prepare(dense, recipe)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(x, y, batch_size=32, epochs=3, verbose=0, callbacks=[ks.Sparsify(recipe)])
    return SimpleNamespace(model=model, dense=dense, recipe=recipe, x=x)


@pytest.fixture(scope="session")
def parts(trained):
    """The trained model as an exporter takes it."""
    from keras_sparse.train.strip import stripped

    return stripped(trained.model)


@pytest.fixture(scope="session")
def files(trained, tmp_path_factory):
    """{suffix: Artifact} of the trained model."""
    import keras_sparse as ks

    folder = tmp_path_factory.mktemp("files")
    return {s: ks.export(trained.model, folder / f"model{s}", samples=trained.x) for s in (".tflite", ".onnx")}
