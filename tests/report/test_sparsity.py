from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks


def model_of(kernel):
    model = keras.Sequential([keras.Input((kernel.shape[0],)), layers.Dense(kernel.shape[1], name="d")])
    model.layers[0].kernel.assign(kernel)
    return model


def kernel(columns):
    """A Dense kernel (inputs, outputs) from its outputs' rows."""
    return np.float32(columns).T


HALF = kernel([[1, 1, 0, 0, 1, 0, 1, 0], [0, 0, 1, 1, 0, 1, 1, 0]] * 5)  # 20 groups of four


def test_zeros_are_counted_and_found_patterns_named():
    report = ks.sparsity(model_of(HALF))
    (only,) = report.kernels
    assert (only.shape, only.size, only.zeros, only.sparsity) == ((8, 10), 80, 40, 0.5)
    assert only.patterns == ("2:4",)
    assert report.total == 0.5
    assert "50.00 %" in str(report)
    assert report.to_dict()["kernels"][0]["zeros"] == 40


def test_one_in_four_is_not_called_two_in_four():
    assert ks.sparsity(model_of(kernel([[1, 0, 0, 0, 0, 0, 2, 0]] * 10))).kernels[0].patterns[0] == "1:4"


def test_many_zeros_anywhere_are_no_pattern():
    values = np.zeros((40, 10), np.float32)
    values[np.random.default_rng(0).permutation(40)[:8], :] = np.random.default_rng(1).normal(size=(8, 10))
    values[3:5, 0] = 1.0
    assert "2:4" not in ks.sparsity(model_of(values)).kernels[0].patterns


def test_blocks_are_found_along_inputs():
    report = ks.sparsity(model_of(kernel([[1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 2, 3, 4]] * 10)))
    assert report.kernels[0].patterns == ("4:8", "blocks 1x4")


def test_a_recipe_says_what_is_broken_and_where():
    values = HALF.copy()
    values[3, 0] = 5.0  # inputs 0 to 3 of output 0 now keep three
    recipe = ks.Recipe([ks.Prune(ks.NofM(2, 4), ks.OneShot(0))])
    assert ks.sparsity(model_of(HALF), recipe).kernels[0].broken is None
    report = ks.sparsity(model_of(values), recipe)
    assert "output channel 0, inputs 0 to 3" in report.kernels[0].broken
    assert report.kernels[0].broken.startswith("1 of 20 groups keep more than 2 of 4")


def test_files_of_every_kind_are_read(tmp_path):
    model = model_of(HALF)
    model.save(tmp_path / "m.keras")
    for suffix in (".tflite", ".onnx"):
        ks.export(model, tmp_path / f"m{suffix}")
    for suffix in (".keras", ".tflite", ".onnx"):
        report = ks.sparsity(tmp_path / f"m{suffix}")
        assert [(each.zeros, each.sparsity, each.patterns) for each in report.kernels] == [(40, 0.5, ("2:4",))]


def test_quantized_training_is_said():
    prepared = ks.calibrate(model_of(HALF), np.ones((4, 8), np.float32))
    assert ks.sparsity(prepared).kernels[0].dtype == "int8 (in training)"


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("none.keras", FileNotFoundError, "no file"),
        (3, TypeError, "must be a Keras model"),
    ],
)
def test_what_has_no_kernels_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        ks.sparsity(given)


def test_a_damaged_keras_file_is_called_so(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"m\.keras is not a \.keras file, or it is cut off"):
        ks.sparsity(tmp_path / "m.keras")


def test_an_unbuilt_model_is_refused():
    with pytest.raises(ValueError, match="no kernels"):
        ks.sparsity(keras.Sequential([layers.Dense(3)]))


def test_a_pattern_that_chance_explains_is_not_named():
    assert ks.sparsity(model_of(kernel([[1, 1, 0, 0], [0, 1, 0, 1]]))).kernels[0].patterns == ()
    narrow = np.zeros((3, 3, 3, 4), np.float32)  # too few inputs for any group of four
    narrow[:, :, 0] = 1.0
    model = keras.Sequential([keras.Input((5, 5, 3)), layers.Conv2D(4, 3)])
    model.layers[0].kernel.assign(narrow)
    assert not any(":" in pattern for pattern in ks.sparsity(model).kernels[0].patterns)
