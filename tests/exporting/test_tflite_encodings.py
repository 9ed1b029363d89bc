"""Encodings of weights in `.tflite`, run by LiteRT with its default delegates and without."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import keras_sparse as ks
from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_encodings, tflite_file, tflite_model
from keras_sparse.exporting.check import ExportError
from keras_sparse.exporting.tflite_encode import weight
from keras_sparse.exporting.tflite_encodings import BLOCK_KERNELS
from keras_sparse.exporting.tflite_model import Graph
from keras_sparse.runtime.isolated import RuntimeFailure


def sparse(layer, block, zeros, seed=0):
    """Gives a Dense or a Conv2D layer zeros in blocks of (outputs, inputs)."""
    generator, kernel = np.random.default_rng(seed), np.asarray(layer.kernel)
    *_, inputs, outputs = kernel.shape
    rows, cols = block
    kept = generator.random((*kernel.shape[:-2], -(-inputs // cols), -(-outputs // rows))) >= zeros
    kept[..., 0, 0] = True
    mask = kept.repeat(cols, -2).repeat(rows, -1)[..., :inputs, :outputs]
    layer.kernel.assign(np.where(mask, generator.normal(size=kernel.shape), 0.0))


def mlp(inputs, outputs, zeros, block=(1, 16)):
    model = keras.Sequential([keras.Input((inputs,), name="x"), layers.Dense(outputs, activation="relu", name="d")])
    sparse(model.get_layer("d"), block, zeros)
    return model


def cnn(zeros=0.85, block=(1, 1)):
    model = keras.Sequential(
        [
            keras.Input((9, 7, 16), name="x"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="full"),
            layers.DepthwiseConv2D(3, name="deep"),
            layers.Conv2D(128, 1, name="point"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, name="d"),
        ]
    )
    for name in ("full", "point"):
        sparse(model.get_layer(name), block, zeros)
    return model


def samples(model, count=24):
    return np.random.default_rng(1).normal(size=(count, *model.input_shape[1:])).astype(np.float32)


def exported(model, folder, encoding, quantize):
    """The tensors in the report, by layer; the export itself compares outputs and values."""
    path = folder / "m.tflite"
    report = ks.export(model, path, samples=samples(model), quantize=quantize, encoding=encoding).report
    assert [each.runtime for each in report.verification][:2] == ["LiteRT", "LiteRT without delegates"]
    return {tensor.name.split("/")[-2]: tensor for tensor in report.tensors}


def versions(path, kind):
    graph = Graph(tflite_model.load(path.read_bytes()))
    return [graph.version(op) for op in graph.operators if graph.name(op) == kind]


@pytest.mark.parametrize(
    ("quantize", "form", "version"),
    [("int8-weights", "block 1x16", 8), ("int8", "block 1x16", 8), (None, "block 1x4", 8)],
)
def test_block_kernels_of_fully_connected(tmp_path, quantize, form, version):
    made = exported(mlp(64, 24, 0.8), tmp_path, "block", quantize)["d"]
    assert made.encoding == form and made.bytes < made.bytes_dense / 2
    # Any other version and XNNPACK would take the blocks for dense weights.
    assert versions(tmp_path / "m.tflite", "FULLY_CONNECTED") == [version]


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 6), st.integers(1, 7), st.floats(0.0, 0.97), st.sampled_from([None, "int8", "int8-weights"]))
def test_block_kernels_over_odd_shapes(tmp_path_factory, blocks, outputs, zeros, quantize):
    made = exported(mlp(16 * blocks, outputs, zeros), tmp_path_factory.mktemp("m"), "block", quantize)["d"]
    assert made.encoding.startswith("block")


@pytest.mark.parametrize(
    ("quantize", "block"), [(None, (1, 1)), (None, (1, 4)), ("float16", (1, 1)), ("int8", (4, 1)), ("int8", (1, 1))]
)
def test_densified_convolutions(tmp_path, quantize, block):
    made = exported(cnn(block=block), tmp_path, "csr", quantize)
    assert made["point"].encoding.startswith("csr") and made["full"].encoding.startswith("csr")
    assert made["point"].bytes < made["point"].bytes_dense / 2
    if block != (1, 1):
        assert made["point"].encoding == f"csr {block[0]}x{block[1]}"
        plain = csr.encode(tensor(tmp_path / "m.tflite", made["point"].stored_as))
        assert made["point"].bytes < plain.nbytes


def tensor(path, name):
    return next(each.values for each in tflite_file.read(path).tensors if each.name == name)


def test_int8_weights_that_float_operations_read_are_densified_then_dequantized(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 256), name="x"), layers.DepthwiseConv2D(3, name="deep")])
    kernel = np.asarray(model.get_layer("deep").kernel)
    model.get_layer("deep").kernel.assign(np.where(np.arange(kernel.size).reshape(kernel.shape) % 9 == 0, kernel, 0.0))
    assert exported(model, tmp_path, "csr", "int8-weights")["deep"].encoding.startswith("csr")
    graph = Graph(tflite_model.load((tmp_path / "m.tflite").read_bytes()))
    assert [graph.name(op) for op in graph.operators] == ["DENSIFY", "DEQUANTIZE", "DEPTHWISE_CONV_2D"]


@pytest.mark.parametrize(("encoding", "quantize"), [("csr", "int8"), ("csr", "int8-weights"), ("block", "float16")])
def test_what_litert_would_not_load_stays_dense_with_the_reason(tmp_path, encoding, quantize):
    made = exported(mlp(64, 24, 0.9), tmp_path, encoding, quantize)["d"]
    assert made.encoding == "dense"
    assert ("does not load" in made.why) or ("for CONV_2D only" in made.why) or "float32" in made.why


def volumes(zeros=0.7):
    model = keras.Sequential([keras.Input((5, 5, 5, 8), name="x"), layers.Conv3D(8, 3, name="d")])
    sparse(model.get_layer("d"), (1, 1), zeros)
    return model


def images(zeros=0.7):
    model = keras.Sequential([keras.Input((6, 6, 16), name="x"), layers.Conv2D(16, 3, name="d")])
    sparse(model.get_layer("d"), (1, 1), zeros)
    return model


class TestRefusalsOfDensify:
    """They are facts of the runtime: without them it fails in its process, and nothing is written."""

    @pytest.mark.parametrize(
        ("build", "quantize", "fails"),
        [
            (lambda: mlp(64, 24, 0.9), "int8", "failed to prepare"),
            (lambda: mlp(64, 24, 0.9), "int8-weights", "failed to prepare"),
            (images, "int8-weights", "failed to prepare"),
            (volumes, "float16", "differ from the model's|not finite"),
        ],
        ids=["int8 Dense", "hybrid Dense", "hybrid Conv2D", "float16 Conv3D"],
    )
    def test_litert_fails_without_them(self, tmp_path, monkeypatch, build, quantize, fails):
        model = build()
        assert exported(model, tmp_path, "csr", quantize)["d"].encoding == "dense"
        (tmp_path / "m.tflite").unlink()
        monkeypatch.setattr(tflite_encodings, "densified_fault", lambda operation, scheme: None)
        with pytest.raises((ExportError, RuntimeFailure), match=fails):
            exported(model, tmp_path, "csr", quantize)
        assert not (tmp_path / "m.tflite").exists()

    def test_conv3d_is_right_from_float32(self, tmp_path):
        assert exported(volumes(), tmp_path, "csr", None)["d"].encoding == "csr 1x1"


@pytest.mark.parametrize("version", [4, 12])
def test_a_version_that_xnnpack_takes_for_dense_is_not_written(tmp_path, monkeypatch, version):
    monkeypatch.setattr(tflite_encodings, "VERSION", version)
    with pytest.raises((ExportError, RuntimeFailure)):
        exported(mlp(256, 64, 0.9), tmp_path, "block", "int8-weights")
    assert not (tmp_path / "m.tflite").exists()


@pytest.mark.parametrize(("inputs", "quantize", "multiple"), [(40, "int8", 16), (24, "int8-weights", 16), (6, None, 4)])
def test_inputs_that_do_not_fill_blocks_stay_dense(tmp_path, inputs, quantize, multiple):
    made = exported(mlp(inputs, 8, 0.9), tmp_path, "block", quantize)["d"]
    assert made.encoding == "dense"
    assert made.why == f"{inputs} inputs are no multiple of {multiple}, and LiteRT's block kernel drops the rest"


class TestCountsOfTheHybridKernel:
    """It counts the blocks of a row, and numbers them, in 8 bits."""

    def refusal(self, inputs, zeros):
        values = np.ones((2, inputs), np.int8)
        values[:, : int(zeros * inputs) // 16 * 16] = 0
        return BLOCK_KERNELS["hybrid"].refusal(weight_of(values, "hybrid"))

    @pytest.mark.parametrize(("inputs", "zeros"), [(4080, 0.0), (4096, 0.5)])
    def test_within(self, inputs, zeros):
        assert self.refusal(inputs, zeros) is None

    @pytest.mark.parametrize(
        ("inputs", "zeros", "said"),
        [(4096, 0.0, "counts up to 255"), (4112, 0.99, "in 8 bits"), (8192, 0.9, "in 8 bits")],
    )
    def test_beyond(self, inputs, zeros, said):
        assert said in self.refusal(inputs, zeros)

    @pytest.mark.parametrize(("inputs", "zeros"), [(4096, 0.5), (4112, 0.99)])
    def test_litert_agrees(self, tmp_path, monkeypatch, inputs, zeros):
        monkeypatch.setattr(type(BLOCK_KERNELS["hybrid"]), "refusal", lambda self, weight: None)
        model = mlp(inputs, 4, zeros)
        if inputs <= 4096:
            assert exported(model, tmp_path, "block", "int8-weights")["d"].encoding == "block 1x16"
        else:
            kernel = np.asarray(model.get_layer("d").kernel)
            kernel[-16:] = 1.0
            model.get_layer("d").kernel.assign(kernel)
            with pytest.raises((ExportError, RuntimeFailure)):
                exported(model, tmp_path, "block", "int8-weights")


def weight_of(values, arithmetic, kind="FULLY_CONNECTED"):
    class Operator:
        inputs = (0, 1, 2)

    return tflite_encodings.Weight(1, values, (Operator(),), (kind,), arithmetic)


@pytest.mark.parametrize(
    ("build", "encoding", "quantize"),
    [
        (images, "csr", None),
        (images, "csr", "int8"),
        (images, "csr", "float16"),
        (lambda zeros: mlp(64, 24, 0.9), "block", None),
        (lambda zeros: mlp(64, 24, 0.9), "block", "int8"),
        (lambda zeros: mlp(64, 24, 0.9), "block", "int8-weights"),
    ],
)
def test_zeros_alone_are_stored_sparse_and_run(tmp_path, build, encoding, quantize):
    """With a bias, so that outputs are not zero."""
    model = build(1.0)
    kernel, bias = model.get_layer("d").kernel, model.get_layer("d").bias
    kernel.assign(np.zeros(kernel.shape))
    bias.assign(np.arange(bias.shape[0]) - 7.0)
    made = exported(model, tmp_path, encoding, quantize)["d"]
    assert made.encoding.startswith(encoding) and made.sparsity == 1 and made.bytes < 200


def test_a_weight_knows_how_it_is_read(tmp_path):
    for quantize, arithmetic in (("int8", "int8"), ("int8-weights", "hybrid"), (None, "float"), ("float16", "float")):
        ks.export(mlp(32, 8, 0.5), tmp_path / "m.tflite", samples=samples(mlp(32, 8, 0.5)), quantize=quantize)
        stored = tflite_file.read(tmp_path / "m.tflite")
        index = next(each.index for each in stored.tensors if each.values.shape == (8, 32))
        found = weight(Graph(tflite_model.load((tmp_path / "m.tflite").read_bytes())), index)
        assert (found.kinds, found.arithmetic) == (("FULLY_CONNECTED",), arithmetic)
        assert dataclasses.is_dataclass(found)
