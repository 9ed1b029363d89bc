"""`.keras` files: plain and prepared models, and every file that holds none."""

from __future__ import annotations

import json
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


def edit(path, change):
    """Changes the configuration in a file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("wrap", [lambda each: each, layers.TimeDistributed])
def test_bytecode_is_not_run(tmp_path, wrap):
    proof = tmp_path / "code_ran"
    toucher = eval(f"lambda x: (__import__('pathlib').Path({str(proof)!r}).touch(), x)[1]")
    keras.Sequential([keras.Input((4, 2)), wrap(layers.Lambda(toucher, name="lam"))]).save(tmp_path / "m.keras")
    proof.unlink()
    keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    assert proof.exists()
    proof.unlink()
    with pytest.raises(ValueError, match=r"m\.keras cannot be loaded.*layer 'lam' \(Lambda\): __lambda__ holds code"):
        keras_file.read(tmp_path / "m.keras")
    assert not proof.exists()


def test_safe_mode_is_on(tmp_path, whole, monkeypatch):
    given = []
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **arguments: given.append(arguments))
    keras_file.read(tmp_path / "whole.keras")
    assert given == [{"compile": False, "safe_mode": True}]


def layer(kind, **changes):
    return {"module": "keras.layers", "class_name": kind, "config": {"name": "bad"}, "registered_name": None, **changes}


def function(module, name):
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


@pytest.mark.parametrize(
    "described",
    [
        layer("TFSMLayer", config={"name": "bad", "filepath": "elsewhere"}),
        layer("TorchModuleWrapper", config={"name": "bad", "module": "x"}),
        layer("StringLookup", config={"name": "bad", "vocabulary": "/etc/passwd"}),
        layer("Lambda", config={"name": "bad", "function": function("keras.utils", "get_file"), "arguments": {}}),
        layer("Lambda", config={"name": "bad", "function": function("keras.saving", "load_model"), "arguments": {}}),
    ],
    ids=lambda each: each["class_name"],
)
def test_what_reaches_outside_the_file(tmp_path, whole, described, monkeypatch):
    edit(tmp_path / "whole.keras", lambda model: model["config"]["layers"].append(described))
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: pytest.fail("Keras saw it before it was judged"))
    with pytest.raises(ValueError, match=r"whole\.keras cannot be loaded as a Keras model: layer 'bad'"):
        keras_file.read(tmp_path / "whole.keras")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model["config"]["layers"].append(layer("Dense", module="antigravity")),
        lambda model: model["config"]["layers"].append(layer("Popen", module="subprocess", config={"args": "id"})),
        lambda model: model["config"]["layers"].append(layer("func_load", module="keras.src.utils.python_utils")),
        lambda model: model["config"]["layers"].append(layer("Dense", config={"units": 10**30})),
        lambda model: model["config"]["layers"].append(layer("Dense", config={"units": "\n" * 10_000})),
        lambda model: model["config"]["layers"].append(layer("Reshape", config={"target_shape": [0, 7]})),
        lambda model: model["config"]["layers"].append(layer("x" * 100_000)),
        lambda model: model.update(config=[]),
        lambda model: model.update(class_name=None),
        lambda model: model.clear(),
    ],
)
def test_whatever_the_configuration_is_the_error_is_one_line(tmp_path, whole, change):
    edit(tmp_path / "whole.keras", change)
    with pytest.raises(ValueError, match=r"whole\.keras cannot be loaded as a Keras model: .") as caught:
        keras_file.read(tmp_path / "whole.keras")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500


@pytest.mark.parametrize("content", ["[" * 100_000, '{"class_name": "Dense", "class_name": "Dense"}', "{", "\xff"])
def test_what_is_no_configuration(tmp_path, whole, content):
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"m\.keras cannot be loaded as a Keras model: .") as caught:
        keras_file.read(tmp_path / "m.keras")
    assert "\n" not in str(caught.value)


def test_functions_of_keras_are_made(tmp_path):
    inputs = keras.Input((3,))
    outputs = layers.Lambda(keras.ops.relu)(layers.Dense(2, activation=keras.activations.gelu)(inputs + 1.0)[:, :1])
    model = keras.Model(inputs, outputs)
    model.compile("adam", "mse", metrics=["mae"])
    model.save(tmp_path / "m.keras")
    again = keras_file.read(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(np.ones((1, 3))), model(np.ones((1, 3))))


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        keras_file.read(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"A \.keras file was expected"):
        keras_file.read(tmp_path)
