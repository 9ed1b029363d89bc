"""What packing promises, on trained models: near the bound, and never larger than xz and zstd."""

from __future__ import annotations

import lzma
import shutil
import subprocess

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.demo import data

PATTERNS = {
    "dense": None,
    "50 %": ks.Unstructured(0.5),
    "80 %": ks.Unstructured(0.8),
    "90 %": ks.Unstructured(0.9),
    "95 %": ks.Unstructured(0.95),
    "2:4": ks.NofM(2, 4),
    "1:4": ks.NofM(1, 4),
    "1x16": ks.Block((1, 16), 0.8),
}


@pytest.fixture(scope="module")
def images():
    return data.load(data.EMBEDDED)


@pytest.fixture(scope="module")
def trained(images):
    """A dense network, trained for a while; each pattern goes on from it."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(320, activation="relu", name="first"),
            keras.layers.Dense(256, activation="relu", name="second"),
            keras.layers.Dense(10),
        ]
    )
    fit(model, images, epochs=2)
    return model


def fit(model, images, epochs, callbacks=()):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(images.x_train, images.y_train, epochs=epochs, batch_size=100, callbacks=list(callbacks), verbose=0)


def entropy(counts):
    counts = counts[counts > 0]
    return float((counts * np.log2(counts.sum() / counts)).sum())


def bound(kernel, pattern):
    """Bits of positions and values of an int8 kernel, (outputs, inputs), by the definition of its pattern."""
    nonzero = kernel[kernel != 0]
    values = entropy(np.bincount(nonzero.view(np.uint8), minlength=256))
    if isinstance(pattern, ks.NofM):
        return kernel.size / pattern.m * np.log2({(2, 4): 6, (1, 4): 4}[pattern.n, pattern.m]) + values
    units = kernel.reshape(len(kernel), -1, 16).any(2) if isinstance(pattern, ks.Block) else kernel != 0
    return entropy(np.bincount(units.ravel().astype(int), minlength=2)) + values


@pytest.mark.slow
@pytest.mark.parametrize("name", PATTERNS)
def test_trained_models(trained, images, name, tmp_path):
    pattern = PATTERNS[name]
    model = keras.models.clone_model(trained)
    model.set_weights(trained.get_weights())
    if pattern is not None:
        recipe = ks.Recipe([ks.Prune(pattern, ks.Cubic(begin=0.0, end=0.6, every=10), match="*[td]/kernel")])
        fit(model, images, 1, [ks.Sparsify(recipe)])
    path, packed = tmp_path / "model.tflite", tmp_path / "model.pack"
    ks.export(model, path, samples=images.x_train[:256].astype("float32"), quantize="int8")
    report = ks.pack(path, packed)
    size, xz = packed.stat().st_size, len(lzma.compress(path.read_bytes(), preset=9 | lzma.PRESET_EXTREME))
    assert size <= xz
    if name == "90 %":
        assert size <= 0.88 * xz
    if shutil.which("zstd"):
        zstd = subprocess.run(["zstd", "-19", "-c", str(path)], capture_output=True, check=True).stdout
        assert size <= len(zstd)
    from keras_sparse.exporting.tflite_file import read

    kernels = {t.name: t.values for t in read(path).tensors if t.values.dtype == np.int8 and t.values.size > 2**16}
    assert len(kernels) == 2
    for each in report.tensors:
        if each.name in kernels:
            kernel = kernels[each.name]
            most = 1.03 * bound(kernel, pattern) / kernel.size
            assert each.bits_per_weight <= most
            assert each.bits_per_weight <= 1.03 * each.bound
    ks.unpack(packed, tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == path.read_bytes()
