"""`.keras` files: plain and prepared models, and every file that holds none."""

from __future__ import annotations

import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from keras_sparse.exporting import keras_file


class Unregistered(layers.Layer):
    """A layer that Keras cannot find by its name."""

    def call(self, inputs):
        return inputs


def test_a_prepared_model_is_as_it_was(trained, tmp_path):
    trained.model.save(tmp_path / "m.keras")
    again = keras_file.read(str(tmp_path / "m.keras"))
    assert not again.compiled
    np.testing.assert_array_equal(again.predict(trained.x, verbose=0), trained.model.predict(trained.x, verbose=0))


@pytest.fixture
def whole(tmp_path):
    """The bytes of a good file."""
    keras.Sequential([keras.Input((2,)), layers.Dense(3)]).save(tmp_path / "whole.keras")
    return (tmp_path / "whole.keras").read_bytes()


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04no model"])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "m.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.keras is not a \.keras file"):
        keras_file.read(tmp_path / "m.keras")


def test_a_cut_and_a_damaged_file(tmp_path, whole):
    (tmp_path / "cut.keras").write_bytes(whole[:-100])
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    (tmp_path / "damaged.keras").write_bytes(damaged)
    for name in ("cut.keras", "damaged.keras"):
        with pytest.raises(ValueError, match=name):
            keras_file.read(tmp_path / name)


@pytest.mark.parametrize("lost", ["config.json", "model.weights.h5"])
def test_an_archive_without_a_member(tmp_path, whole, lost):
    with zipfile.ZipFile(tmp_path / "whole.keras") as source, zipfile.ZipFile(tmp_path / "m.keras", "w") as made:
        for name in source.namelist():
            if name != lost:
                made.writestr(name, source.read(name))
    with pytest.raises(ValueError, match=r"m\.keras cannot be loaded as a Keras model: .*" + lost):
        keras_file.read(tmp_path / "m.keras")


def test_an_unknown_class_is_named_without_its_configuration(tmp_path):
    keras.Sequential([keras.Input((2,)), Unregistered(), layers.Dense(2)]).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="Could not locate class 'Unregistered'") as caught:
        keras_file.read(tmp_path / "m.keras")
    assert "config" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_in_a_file_is_not_run(tmp_path):
    keras.Sequential([keras.Input((2,)), layers.Lambda(lambda x: x + 1)]).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="Lambda"):
        keras_file.read(tmp_path / "m.keras")


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        keras_file.read(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"A \.keras file was expected"):
        keras_file.read(tmp_path)
