"""Which encoding a tensor gets, and why."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_sparse as ks


def model(zeros, size=1024):
    """Two Dense layers, the first one with a fraction of zero blocks, 1x16."""
    made = keras.Sequential(
        [keras.Input((size,), name="x"), layers.Dense(size, name="first"), layers.Dense(10, name="last")]
    )
    kept = np.arange(size // 16 * size).reshape(-1, size) % 100 >= 100 * zeros
    kernel = made.get_layer("first").kernel
    kernel.assign(np.where(kept.repeat(16, 0), np.asarray(kernel), 0.0))
    return made


def tensors(made, folder, **options):
    x = np.random.default_rng(0).normal(size=(16, *made.input_shape[1:])).astype("float32")
    report = ks.export(made, folder / "m.tflite", samples=x, **options).report
    return {each.name.split("/")[-2]: each for each in report.tensors}, report


@pytest.mark.parametrize(
    ("zeros", "quantize", "form", "why"),
    [
        (0.6, "int8-weights", "dense", "60% of its 1x16 blocks are zero; the block kernel was measured 0.6"),
        (0.96, "int8-weights", "block 1x16", "96% of its 1x16 blocks are zero; the block kernel was measured"),
        (0.6, "int8", "dense", "the block kernel was measured"),
        (0.97, "int8", "block 1x16", "the block kernel was measured"),
        (0.6, None, "dense", "60% of its 1x4 blocks are zero; the block kernel was measured 0.6"),
        (0.9, None, "block 1x4", "90% of its 1x4 blocks are zero; the block kernel was measured 3.1"),
        (0.9, "float16", "dense", "takes float32 weights"),
    ],
)
def test_fastest_takes_block_kernels_where_they_were_measured_to_pay(tmp_path, zeros, quantize, form, why):
    made, report = tensors(model(zeros), tmp_path, quantize=quantize)
    assert made["first"].encoding == form and why in made["first"].why
    assert made["last"].encoding == "dense"
    assert report.scheme == (quantize or "float32")


def test_small_layers_and_other_processors_stay_dense(tmp_path):
    made, _ = tensors(model(0.97, 128), tmp_path, quantize="int8-weights")
    assert made["first"].encoding == "dense" and "costs more than it saves" in made["first"].why
    made, _ = tensors(model(0.97), tmp_path, quantize="int8-weights", target="litert-arm64")
    assert made["first"].encoding == "dense" and "has not been measured" in made["first"].why


def test_smallest_takes_the_fewest_bytes(tmp_path):
    sizes = {}
    for encoding in ("dense", "csr", "block", "smallest"):
        made, report = tensors(model(0.9, 256), tmp_path, encoding=encoding)
        sizes[encoding] = report.bytes
    assert sizes["smallest"] <= min(sizes.values())
    assert "smallest of" in made["first"].why


def test_dense_is_dense(tmp_path):
    made, _ = tensors(model(0.98, 256), tmp_path, encoding="dense", quantize="int8-weights")
    assert {each.encoding for each in made.values()} == {"dense"}
    assert made["first"].bytes == made["first"].bytes_dense == 256 * 256


def test_the_report_shows_sizes_and_reasons(tmp_path):
    _, report = tensors(model(0.9, 256), tmp_path, quantize="int8-weights", encoding="block")
    printed = str(report)
    assert "block 1x16" in printed and "first/kernel: asked for" in printed
    first = report.to_dict()["tensors"][0]
    assert first["bytes"] < first["bytes_dense"] and first["encoding"] == "block 1x16" and first["why"]


def test_what_would_grow_in_sparse_rows_stays_dense(tmp_path):
    made, _ = tensors(model(0.0, 64), tmp_path, encoding="csr")
    assert made["first"].encoding == "dense" and "in sparse rows it would take" in made["first"].why


def test_explain_names_a_sparse_kernel_as_the_report_does(tmp_path):
    net = model(0.9, 256)
    artifact = ks.export(net, tmp_path / "m.tflite", encoding="csr")
    assert "csr" in artifact.report.tensors[0].encoding
    told = {layer.name for layer in ks.explain(artifact.path, "litert").layers}
    assert told == {tensor.name for tensor in artifact.report.tensors}


@pytest.mark.parametrize(("channels", "scheme"), [(16, "hybrid"), (64, "float")])
def test_a_network_is_not_computed_in_float_for_sparse_kernels_that_stay_dense(tmp_path, channels, scheme):
    inputs = x = keras.Input((12, 12, 3))
    x = layers.ReLU()(layers.Conv2D(channels, 3, 2, use_bias=False)(layers.ZeroPadding2D(1)(x)))
    for _ in range(2):
        x = layers.DepthwiseConv2D(3, padding="same")(x)
        x = layers.ReLU()(layers.Conv2D(channels, 1)(x))
    x = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    net = keras.Model(inputs, layers.Dense(2)(x))
    random = np.random.default_rng(0)
    for layer in net.layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            layer.kernel.assign(np.array(layer.kernel) * (random.random(layer.kernel.shape) > 0.8))
    path = tmp_path / "m.tflite"
    ks.export(net, path, "litert-arm64", quantize="int8-weights", encoding="csr")
    names = [op["op_name"] for op in Interpreter(str(path))._get_ops_details()]
    assert ("DENSIFY" in names) == (names[1] == "DEQUANTIZE") == (scheme == "float"), names  # of the first kernel
