"""`reduce_range`: one `.onnx` file that every processor computes alike, and what is said of one that is not."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import check, onnx_file, reduced, reference
from keras_sparse.exporting.onnx_kernels import optimized, saturating
from keras_sparse.exporting.verify import verify
from keras_sparse.runtime import isolated

SIGNS = np.where(np.arange(64) % 4 < 2, 1.0, -1.0).astype(np.float32)


def heavy():
    """Neighbouring weights of one sign, all of them large: wherever sums are cut off, half of each is lost."""
    model = keras.Sequential([keras.Input((64,), name="x"), layers.Dense(4, name="d")])
    spread = np.random.default_rng(0).uniform(0.7, 1.0, (64, 4)).astype(np.float32)
    model.layers[0].set_weights([SIGNS[:, None] * spread, np.zeros(4, np.float32)])
    return model


def positive(items=64):
    """Inputs that agree with the signs, more or less."""
    random = np.random.default_rng(1)
    return (random.uniform(0, 1, (items, 64)) * np.where(SIGNS > 0, 1, random.uniform(0, 1, (items, 1)))).astype(
        np.float32
    )


def kernels(path):
    return {t.name: t.values for t in onnx_file.read(path).tensors if t.values.dtype == np.int8 and t.values.ndim > 1}


@pytest.fixture(scope="module")
def convolutions():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3, name="full", activation="relu"),
            layers.DepthwiseConv2D(3, name="depthwise"),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="multiplied"),
            layers.Conv2D(16, 1, groups=16, name="grouped_depthwise"),
            layers.Conv2D(16, 1, groups=4, name="grouped"),
            layers.Flatten(),
            layers.Dense(4, name="dense"),
        ]
    )


X = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype(np.float32)
EXACT = ("depthwise", "grouped_depthwise")


def test_kernels_whose_products_are_added_two_by_two_have_seven_bits(convolutions, tmp_path):
    made = ks.export(convolutions, tmp_path / "m.onnx", samples=X, quantize="int8")
    found = {name.split("/")[-2]: np.abs(values.astype(int)) for name, values in kernels(made.path).items()}
    assert sorted(found) == ["dense", "depthwise", "full", "grouped", "grouped_depthwise", "multiplied"]
    for name, values in found.items():
        largest = np.moveaxis(values, 0 if values.ndim == 4 else 1, 0).reshape(values.shape[values.ndim == 2], -1)
        assert set(largest.max(1)) == {127 if name in EXACT else 64}, name
    assert saturating(optimized(made.path)) == ()
    assert reduced.NOTE in made.report.notes
    assert made.report.verification[0].runtime == "ONNX Runtime"
    assert "without VNNI" not in " ".join(each.runtime for each in made.report.verification)
    assert verify(made.path, ks.calibrate(convolutions, X), X).passed


def test_weights_alone_in_int8(convolutions, tmp_path):
    """ConvInteger adds in 32 bits, a Dense layer's MatMulInteger does not."""
    path = ks.export(convolutions, tmp_path / "m.onnx", samples=X, quantize="int8-weights").path
    found = {name.split("/")[-2]: np.abs(values.astype(int)).max() for name, values in kernels(path).items()}
    assert found.pop("dense") == 64
    assert set(found.values()) == {127}
    assert saturating(optimized(path)) == ()
    assert verify(path, convolutions, X).passed


def test_zeros_and_only_zeros_are_zeros(trained, tmp_path):
    """Of a pruned and quantized model: as many in both ranges, and the model computes with what the file holds."""
    full, seven = (
        ks.export(trained.model, tmp_path / f"{r}.onnx", samples=trained.x, reduce_range=r).report
        for r in (False, True)
    )
    assert [(t.name, t.zeros) for t in full.tensors] == [(t.name, t.zeros) for t in seven.tensors]
    assert sum(t.zeros for t in seven.tensors) > 100


def test_the_users_model_keeps_its_weights(trained, tmp_path):
    plain = ks.strip(trained.model)
    before = plain.get_weights()
    ks.export(plain, tmp_path / "m.onnx", samples=trained.x)
    for a, b in zip(before, plain.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_file_is_right_on_every_processor(tmp_path):
    model, x = heavy(), positive()
    seven = ks.export(model, tmp_path / "seven.onnx", samples=x, quantize="int8").path
    outputs = [isolated.run(seven, [x], engine=engine)[0] for engine in (None, "exact", "saturating")]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_eight_bits_are_for_some_processors_and_the_report_says_how_wrong_others_are(tmp_path):
    model, x = heavy(), positive()
    made = ks.export(model, tmp_path / "eight.onnx", samples=x, quantize="int8", reduce_range=False)
    assert np.abs(kernels(made.path)["d/kernel"].astype(int)).max() == 127
    right, wrong = made.report.verification[:2]
    assert (right.runtime, right.problem) == ("ONNX Runtime with exact sums (as with VNNI, on ARM64)", None)
    assert wrong.runtime == "ONNX Runtime on x86-64 without VNNI"
    assert "'d/kernel'" in wrong.problem and "reduce_range=True" in wrong.problem
    assert "NOT RIGHT in ONNX Runtime on x86-64 without VNNI" in str(made)


def test_a_file_of_others_is_judged_for_every_processor(tmp_path):
    """Whatever this one is: and the cause and what helps are named."""
    model, x = heavy(), positive()
    path = ks.export(model, tmp_path / "eight.onnx", samples=x, quantize="int8", reduce_range=False).path
    report = verify(path, ks.calibrate(model, x), x)
    passed = {each.runtime: each.passed for each in report.comparisons}
    assert passed["ONNX Runtime with exact sums (as with VNNI, on ARM64)"] is True
    assert passed["ONNX Runtime on x86-64 without VNNI"] is False
    assert report.passed is False
    assert "session.x64quantprecision" in str(report) and "d/kernel" in str(report)
    assert verify(path, ks.calibrate(model, x), x, without_vnni=False).passed
    assert verify(path, ks.calibrate(model, x), x, to="tensorrt").passed


def test_an_error_says_the_cause(tmp_path, monkeypatch):
    """A file that should be right everywhere and is not: as if kernels had not been reduced."""
    monkeypatch.setattr(reduced, "largest", lambda *_: 126)
    monkeypatch.setattr(reduced, "largest_at", lambda *_: 126)
    with pytest.raises(check.ExportError, match=r"without VNNI.*16 bits.*'d/kernel'.*reduce_range=True"):
        ks.export(heavy(), tmp_path / "m.onnx", samples=positive(), quantize="int8")
    assert not (tmp_path / "m.onnx").exists()


def test_tensorrt_cuts_off_nothing_and_keeps_eight_bits(tmp_path):
    model, x = heavy(), positive()
    made = ks.export(model, tmp_path / "m.onnx", "tensorrt", x, "int8")
    assert np.abs(kernels(made.path)["d/kernel"].astype(int)).max() == 127
    exact = "ONNX Runtime with exact sums (as with VNNI, on ARM64)"
    assert (made.report.verification[0].runtime, made.report.verification[0].problem) == (exact, None)
    forced = ks.export(model, tmp_path / "m.onnx", "tensorrt", x, "int8", reduce_range=True)
    assert np.abs(kernels(forced.path)["d/kernel"].astype(int)).max() == 64


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("m.tflite", {"quantize": "int8", "reduce_range": True}, "for .onnx"),
        ("m.onnx", {"quantize": "int8", "reduce_range": "yes"}, "'yes'"),
        ("m.onnx", {"reduce_range": True}, "is for int8 weights"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, name, options, said):
    with pytest.raises(ValueError, match=said):
        ks.export(heavy(), tmp_path / name, samples=positive(), **options)
    assert not list(tmp_path.iterdir())


def test_the_range_of_a_file_is_in_it(convolutions, tmp_path):
    for reduce_range in (True, False):
        path = tmp_path / f"{reduce_range}.onnx"
        ks.export(convolutions, path, samples=X, quantize="int8", reduce_range=reduce_range)
        assert reference.reduce_range(path) is reduce_range
    assert not reference.reduce_range(ks.export(heavy(), tmp_path / "float.onnx").path)


def test_where_nothing_is_reduced_nothing_is_said(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.DepthwiseConv2D(3), layers.Flatten()])
    made = ks.export(model, tmp_path / "m.onnx", samples=X, quantize="int8")
    assert reduced.NOTE not in made.report.notes and not reference.reduce_range(made.path)
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    assert reduced.NOTE not in ks.export(model, tmp_path / "m.onnx", quantize="int8-weights").report.notes
    with pytest.raises(ValueError, match="added two by two"):
        ks.export(model, tmp_path / "m.onnx", quantize="int8-weights", reduce_range=True)


@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
def test_a_kernel_that_two_layers_share(tmp_path, target):
    """ONNX Runtime refuses such files with the option for exact sums; they are judged all the same."""
    shared = layers.Conv2D(8, 3, name="shared")
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    model = keras.Model([a, b], layers.GlobalAveragePooling2D()(layers.Add()([shared(a), shared(b)])))
    for reduce_range in (True, False):
        made = ks.export(model, tmp_path / "m.onnx", target, [X, X[::-1]], "int8", reduce_range=reduce_range)
        assert made.report.verification[0].problem is None


def test_explain_says_it(tmp_path):
    for target in ("onnxruntime", "openvino"):
        assert "reduce_range" in str(ks.explain(heavy(), target, quantize="int8"))
        path = ks.export(heavy(), tmp_path / "m.onnx", samples=positive(), quantize="int8").path
        assert "reduce_range" not in str(ks.explain(path, target))  # weights of a file are what they are
    assert "reduce_range" not in str(ks.explain(heavy(), "tensorrt", quantize="int8"))
