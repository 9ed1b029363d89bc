"""`verify`: right files pass, wrong ones do not, and what cannot be judged is not."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting.check import ExportError
from keras_sparse.exporting.verify import Comparison, verify
from keras_sparse.runtime.isolated import RuntimeFailure

SUFFIXES = (".tflite", ".onnx")


@pytest.fixture(scope="module")
def dense_files(trained, tmp_path_factory):
    """{suffix: path} of the float model."""
    folder = tmp_path_factory.mktemp("dense")
    return {s: ks.export(trained.dense, folder / f"dense{s}", samples=trained.x).path for s in SUFFIXES}


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestAgainstAModel:
    @pytest.mark.parametrize("given", ["samples", "random inputs"])
    def test_an_int8_file_passes_against_its_model(self, trained, files, suffix, given):
        report = verify(files[suffix].path, trained.model, trained.x if given == "samples" else None)
        assert report.passed is True
        assert (report.scheme, report.reference_scheme, report.source) == ("int8", "int8", given)
        assert report.samples == (256 if given == "samples" else 32)
        assert len([each for each in report.comparisons if each.required]) == (2 if suffix == ".tflite" else 1)
        assert all(0 < each.rms_tolerance < 0.1 for each in report.comparisons)
        assert json.loads(json.dumps(report.to_dict()))["passed"] is True
        assert "verified: both compute in int8" in str(report)

    def test_a_float_file_passes_against_its_model_and_not_against_another(
        self, trained, dense_files, suffix, tmp_path
    ):
        assert verify(dense_files[suffix], trained.dense, trained.x).passed is True
        other = keras.models.clone_model(trained.dense)
        report = verify(dense_files[suffix], other, trained.x)
        assert report.passed is False
        assert "NOT VERIFIED: the outputs differ by more" in str(report)

    def test_the_kernels_of_an_int8_file_must_be_the_models(self, trained, files, suffix):
        other = ks.strip(trained.model)
        kernel = other.get_layer("hidden").kernel
        values = keras.ops.convert_to_numpy(kernel).copy()
        row, column = np.argwhere(values == 0)[0]
        # One weight more, on the grid of its channel and too small for any output to tell.
        values[row, column] = np.abs(values[:, column]).max() / 127
        kernel.assign(values)
        report = verify(files[suffix].path, other, trained.x)
        assert all(each.passed for each in report.comparisons)
        assert report.passed is False
        assert "NOT VERIFIED: hidden/kernel" in str(report)

    def test_an_int8_file_against_a_float_model_is_not_judged(self, trained, files, suffix):
        report = verify(files[suffix].path, trained.dense, trained.x)
        assert report.passed is None
        assert report.comparisons[0].rms > 0
        assert "not judged" in str(report) and "quantized Keras model" in str(report)


def test_a_float_file_against_a_float_file(dense_files):
    assert verify(dense_files[".tflite"], dense_files[".onnx"]).passed is True
    assert verify(dense_files[".onnx"], str(dense_files[".tflite"])).passed is True


def test_int8_files_against_each_other_are_compared_and_not_judged(trained, files):
    report = verify(files[".tflite"].path, files[".onnx"].path, trained.x)
    assert report.passed is None
    assert report.comparisons[0].agreement > 0.95


def test_several_inputs_go_by_name(tmp_path):
    first, second = keras.Input((3,), name="zebra"), keras.Input((3,), name="ape")
    model = keras.Model([first, second], layers.Subtract()([layers.Dense(2)(first), layers.Dense(2)(second)]))
    samples = {"ape": np.ones((4, 3)), "zebra": np.zeros((4, 3))}
    for suffix in SUFFIXES:
        path = ks.export(model, tmp_path / f"two{suffix}").path
        assert verify(path, model).passed is True
        assert verify(path, model, samples).passed is True
        assert verify(path, model, [samples["zebra"], samples["ape"]]).passed is True


class TestRefusals:
    @pytest.mark.parametrize(
        ("samples", "message"),
        [
            (np.zeros((4, 5)), r"takes shape \(None, 12, 12, 3\)"),
            (np.zeros((0, 12, 12, 3)), "At least one sample"),
            (np.full((1, 12, 12, 3), np.nan), "finite"),
            ({"picture": np.zeros((1, 12, 12, 3))}, r"inputs are \['image'\]"),
            ([], "1 inputs"),
        ],
    )
    def test_samples_that_do_not_fit(self, trained, files, samples, message):
        with pytest.raises(ValueError, match=message):
            verify(files[".onnx"].path, trained.model, samples)

    def test_inputs_of_another_shape(self, files):
        other = keras.Sequential([keras.Input((7,)), layers.Dense(5)])
        with pytest.raises(ValueError, match=r"m.*\.onnx does not take the inputs of the model .*Received: \(32, 7\)"):
            verify(files[".onnx"].path, other)

    def test_another_number_of_outputs(self, trained, files):
        two = keras.Model(trained.dense.input, [trained.dense.output] * 2)
        with pytest.raises(ValueError, match="outputs have the shapes"):
            verify(files[".onnx"].path, two, trained.x)

    def test_another_number_of_inputs(self, files):
        inputs = [keras.Input((3,)), keras.Input((3,))]
        two = keras.Model(inputs, layers.Add()(inputs))
        with pytest.raises(ValueError, match=r"has 1 inputs, and the model .* has 2"):
            verify(files[".onnx"].path, two)

    def test_outputs_that_are_not_finite(self, trained, tmp_path):
        inputs = keras.Input((2,))
        path = ks.export(keras.Model(inputs, keras.ops.log(inputs + 10.0)), tmp_path / "log.onnx").path
        model = keras.Model(inputs, inputs + 0.0)
        with pytest.raises(ExportError, match="not finite"):
            verify(path, model, np.full((1, 2), -20.0))

    def test_a_file_that_does_not_load(self, trained, files, tmp_path):
        broken = tmp_path / "broken.onnx"
        whole = files[".onnx"].path.read_bytes()
        broken.write_bytes(whole.replace(b"QuantizeLinear", b"QuantizeLineax"))
        with pytest.raises(RuntimeFailure, match=r"broken\.onnx"):
            verify(broken, trained.model)

    @pytest.mark.parametrize("name", ["model.h5", "model"])
    def test_a_file_of_no_runtime(self, trained, tmp_path, name):
        with pytest.raises(ValueError, match="was expected"):
            verify(tmp_path / name, trained.model)


@pytest.mark.parametrize(
    ("rms", "largest", "passed"),
    [(0.1, 0.2, True), (0.11, 0.2, False), (0.1, 0.21, False), (float("nan"), 0.1, False)],
)
def test_both_tolerances_hold(rms, largest, passed):
    assert Comparison("LiteRT", rms, 0.1, largest, 0.2, None).passed is passed


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("scheme", ["float16", "int8-weights"])
def test_a_file_of_a_float_model_is_held_to_its_own_roundings(tmp_path, scheme, suffix):
    build = [keras.Input((6, 6, 3)), layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(5)]
    model = keras.Sequential(build)
    x = np.random.default_rng(0).normal(size=(64, 6, 6, 3)).astype(np.float32)
    path = ks.export(model, tmp_path / f"m{suffix}", samples=x, quantize=scheme).path
    report = verify(path, model, x)
    assert report.passed and (report.scheme, report.reference_scheme) == (scheme, scheme)
    assert verify(path, keras.models.clone_model(model), x).passed is False
