"""Which encoding a tensor gets, and why."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import tflite_encode


def model(zeros):
    """Two Dense layers with a fraction of zero blocks, 1x16."""
    made = keras.Sequential(
        [keras.Input((256,), name="x"), layers.Dense(64, name="first"), layers.Dense(10, name="last")]
    )
    kept = np.arange(16 * 64).reshape(16, 64) % 100 >= 100 * zeros
    kernel = made.get_layer("first").kernel
    kernel.assign(np.where(kept.repeat(16, 0), np.asarray(kernel), 0.0))
    return made


def tensors(made, folder, **options):
    x = np.random.default_rng(0).normal(size=(16, 256)).astype("float32")
    report = ks.export(made, folder / "m.tflite", samples=x, **options).report
    return {each.name.split("/")[-2]: each for each in report.tensors}, report


@pytest.mark.parametrize(
    ("zeros", "quantize", "form"),
    [
        (0.6, "int8-weights", "dense"),
        (0.9, "int8-weights", "block 1x16"),
        (0.9, "int8", "dense"),
        (0.98, "int8", "block 1x16"),
        (0.6, None, "dense"),
        (0.9, None, "block 1x4"),
        (0.9, "float16", "dense"),
    ],
)
def test_fastest_takes_block_kernels_where_they_pay(tmp_path, zeros, quantize, form):
    made, report = tensors(model(zeros), tmp_path, quantize=quantize)
    assert made["first"].encoding == form
    assert made["last"].encoding == "dense"
    assert report.scheme == (quantize or "float32")
    if quantize != "float16":
        assert "of its 1x" in made["first"].why


def test_smallest_takes_the_fewest_bytes(tmp_path):
    sizes = {}
    for encoding in ("dense", "csr", "block", "smallest"):
        made, report = tensors(model(0.9), tmp_path, encoding=encoding)
        sizes[encoding] = report.bytes
    assert sizes["smallest"] <= min(sizes.values())
    assert "smallest of" in made["first"].why


def test_dense_is_dense(tmp_path):
    made, _ = tensors(model(0.98), tmp_path, encoding="dense", quantize="int8-weights")
    assert {each.encoding for each in made.values()} == {"dense"}
    assert made["first"].bytes == made["first"].bytes_dense == 256 * 64


def test_the_report_shows_sizes_and_reasons(tmp_path):
    _, report = tensors(model(0.9), tmp_path, quantize="int8-weights")
    printed = str(report)
    assert "block 1x16" in printed and "of its 1x16 blocks are zero" in printed
    first = report.to_dict()["tensors"][0]
    assert first["bytes"] < first["bytes_dense"] and first["encoding"] == "block 1x16" and first["why"]


def test_every_arithmetic_has_a_break_even():
    assert set(tflite_encode.BREAK_EVEN) == set(tflite_encode.BLOCK_KERNELS)
