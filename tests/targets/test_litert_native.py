"""The native kernels as a target: what pays, from where on, and that the library agrees."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from keras_sparse_edge import native

import keras_sparse as ks
from keras_sparse.pattern import Block
from keras_sparse.target import TARGETS
from keras_sparse.targets import litert_native, native_gains
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, FLOAT32, INT8, Layer, Network

TARGET = TARGETS["litert-native"]


def best() -> str:
    """The instruction set that `ks.delegate()` takes here, of those that were measured."""
    for kernels in native_gains.measured() if native.available() else ():
        try:
            native.delegate(kernels=kernels)
        except ValueError:
            continue
        return kernels
    return ""


KERNELS = best()


def verdict(layer: Layer) -> litert_native.Verdict:
    return TARGET.verdicts(Network((layer,)))[0]


def test_convolutions_have_blocks_along_the_inputs_and_dense_layers_tiles() -> None:
    conv = verdict(Layer("k", CONV, "Conv2D", 1, 512, 512, INT8, vectors=196)).offer
    dense = verdict(Layer("k", DENSE, "Dense", 1, 1000, 1024, INT8)).offer
    pixel = verdict(Layer("k", CONV, "Conv2D", 1, 512, 512, INT8, vectors=1)).offer
    assert conv is not None and dense is not None and pixel is not None
    assert (conv.pattern, dense.pattern, pixel.pattern) == (
        Block((1, 4), 0.8),
        Block((16, 4), 0.8),
        Block((16, 4), 0.8),
    )
    assert conv.pays and dense.pays
    assert [each.condition for each in conv.evidence] == ["avx512-vnni", "avx2"]
    assert conv.evidence[0].gain(0.8) == 3.07 and conv.evidence[0].break_even == 0.55
    assert dense.evidence[0].gain(0.8) == 5.18
    assert conv.break_even == max(each.break_even for each in conv.evidence)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Layer("k", CONV, "Conv2D", 1, 64, 64, FLOAT32, vectors=196), "static int8 layers only"),
        (Layer("k", DEPTHWISE, "DepthwiseConv2D", 1, 64, 9, INT8, vectors=196), "between sparse convolutions"),
        (Layer("k", CONV, "Conv2D", 9, 32, 3, INT8, vectors=196), "too few for blocks"),
        (Layer("k", CONV, "Conv2D", 1, 16, 16, INT8, vectors=16), "multiplications"),
        (Layer("k", CONV, "Conv2D", 1, 64, 64, INT8, vectors=None), "not known"),
        (Layer("k", DENSE, "Dense", 1, 64, 64, INT8), "weights, a call costs"),
        (Layer("k", DENSE, "Dense", 1, 256, 256, INT8, vectors=49), "measured for one"),
        (Layer("k", DENSE, "Dense", 1, 64, 40960, INT8), "might overflow"),
        (Layer("k", "other", "Conv1D", 3, 64, 64, INT8), "not Conv1D"),
    ],
)
def test_what_is_not_taken_has_a_reason(layer: Layer, reason: str) -> None:
    found = verdict(layer)
    assert found.offer is None and reason in found.reasons[0] and found.kernel.startswith("dense")


@pytest.mark.parametrize("kernels", native_gains.measured())
def test_every_layer_that_was_measured_gains_from_where_it_is_taken_on(kernels: str) -> None:
    known = native_gains.measured()[kernels]
    for shape in (*known.convolutions, *known.connected):
        kind = (CONV, shape[3], shape[2], shape[1], shape[0]) if len(shape) == 4 else (DENSE, 1, shape[1], shape[0], 1)
        layer = Layer("k", kind[0], "", kind[1], kind[2], kind[3], INT8, vectors=kind[4])
        found = [each for each in litert_native.evidence(layer) if each.condition == kernels]
        assert all(gain >= 1.0 for each in found for _, gain in each.points), shape
    assert known.machine in str(litert_native.evidence(layer))


@pytest.mark.parametrize(
    ("own", "reason"),
    [({"1x1": ((None, 0.75),)}, "taken on processors with avx512-vnni only"), ({}, "with avx512-vnni only")],
)
def test_what_one_processor_only_takes_is_said(monkeypatch, own: dict, reason: str) -> None:
    """0.65 is where AVX512-VNNI takes the layer; the other one asks for more, or never takes it."""
    base = native_gains.measured()["avx512-vnni"]
    other = dataclasses.replace(base, kernels="avx2", break_evens=own)
    monkeypatch.setattr(native_gains, "measured", lambda: {"avx512-vnni": base, "avx2": other})
    kept = np.ones((1, 512, 1024), bool)
    kept.reshape(512, 256, 4)[:, :180] = False  # 0.70
    layer = Layer("k", CONV, "Conv2D", 1, 512, 1024, INT8, vectors=196, kept=kept, zeros=int((~kept).sum()))
    found = verdict(layer)
    assert found.kernel == "dense int8" and reason in found.reasons[0]
    kept.reshape(512, 256, 4)[:, :200] = False  # 0.78
    found = verdict(dataclasses.replace(layer, zeros=int((~kept).sum())))
    assert found.kernel.startswith("native") == bool(own)


@pytest.mark.skipif(not native.available(), reason="the native kernels are not to be had here")
@pytest.mark.parametrize(
    ("shape", "make"),
    [
        ((14, 14, 64), lambda: layers.Conv2D(64, 1)),
        ((14, 14, 512), lambda: layers.Conv2D(96, 1)),
        ((14, 14, 64), lambda: layers.Conv2D(64, 3, padding="same")),
        ((1, 1, 512), lambda: layers.Conv2D(512, 1)),
        ((512,), lambda: layers.Dense(512)),
        ((256,), lambda: layers.Dense(256)),
    ],
)
def test_explain_says_what_the_library_takes(shape, make, tmp_path: Path) -> None:
    """From the break-even of this processor on; on all processors from the highest one on."""
    model = keras.Sequential([keras.Input(shape), make()])
    samples = np.random.default_rng(0).normal(size=(8, *shape)).astype("float32")
    (row,) = ks.explain(model, "litert-native", "int8").layers
    own = [each for each in row.gains if each.condition == KERNELS]
    if not own:
        pytest.skip(f"the break-evens of {KERNELS or 'this processor'} were not measured")
    kernel = model.layers[0].kernel
    dense = np.array(kernel)
    for off in (-0.06, 0.04):
        start = own[0].points[0][0] + off
        zeros = Block((16, 4) if shape in ((512,), (256,), (1, 1, 512)) else (1, 4), start)
        scores = np.moveaxis(np.abs(dense).reshape(-1, *dense.shape[-2:]), 1, 2)
        kernel.assign(dense * np.moveaxis(zeros.mask(scores, 1.0), 2, 1).reshape(dense.shape))
        artifact = ks.export(model, tmp_path / "m.tflite", "litert-native", samples, "int8")
        assert [each.runtime for each in artifact.report.verification][-1] == "LiteRT with native kernels"
        (told,) = ks.explain(tmp_path / "m.tflite", "litert-native").layers
        here = told.kernel.startswith("native") or f"{KERNELS} only" in " ".join(told.reasons)
        made = Interpreter(str(tmp_path / "m.tflite"), experimental_delegates=[ks.delegate()])
        names = [each["op_name"] for each in made._get_ops_details()]
        assert (names.count("DELEGATE") == 1) == here == (off > 0), names


def test_dilated_convolutions_are_not_taken() -> None:
    inputs = keras.Input((14, 14, 128))
    model = keras.Model(inputs, layers.Conv2D(128, 3, dilation_rate=2)(inputs))
    (row,) = ks.explain(model, "litert-native", "int8").layers
    assert row.pattern is None and "dilated" in row.reasons[0]


def test_a_file_for_all_processors_says_where_its_zeros_pay(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6, 6, 8)), layers.Conv2D(8, 1)])
    samples = np.random.default_rng(0).normal(size=(8, 6, 6, 8)).astype("float32")
    report = ks.export(model, tmp_path / "m.tflite", samples=samples, quantize="int8").report
    assert "ks.delegate()" in str(report.tensors[0].why)
