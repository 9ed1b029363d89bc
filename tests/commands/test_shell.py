"""Subcommands that are one call of the library: what they print, write and return."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import keras_sparse as ks
from keras_sparse import cli
from keras_sparse.commands import shell


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a model as `.keras`, and calibrated as `.tflite`."""
    folder = tmp_path_factory.mktemp("made")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((32,)), layers.Dense(64, "relu", name="first"), layers.Dense(4, name="last")])
    kernel, bias = model.get_layer("first").get_weights()
    kernel[:, :40], bias[:40] = 0.0, -1.0  # units that are never active
    model.get_layer("first").set_weights([kernel, bias])
    model.save(folder / "model.keras")
    samples = np.random.default_rng(0).normal(size=(64, 32)).astype("float32")
    np.save(folder / "x.npy", samples)
    ks.export(model, folder / "model.tflite", samples=samples, quantize="int8")
    return folder


def run(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    return result.exit_code, result.output


def test_explain(made):
    code, printed = run("explain", made / "model.keras", "--target", "litert-x86", "--quantize", "int8-weights")
    assert code == 0 and "first/kernel" in printed and "dense int8-weights" in printed
    code, printed = run("explain", made / "model.tflite", "--target", "packed", "--json")
    assert code == 0 and len(json.loads(printed)["layers"]) == 2


def test_an_unknown_target_names_those_there_are(made):
    for command in ("explain", "recommend"):
        code, printed = run(
            command, made / "model.keras", "--target", "toaster", *["--goal", "size"][: 2 * (command != "explain")]
        )
        assert code == 1 and "litert-arm64" in printed


def test_recommend(made, tmp_path):
    out = tmp_path / "recipe.yaml"
    code, printed = run("recommend", made / "model.keras", "--target", "packed", "--goal", "size", "--out", out)
    assert code == 0 and "Unstructured" in printed
    assert isinstance(ks.Recipe.load(out), ks.Recipe)


def test_pack_and_unpack(made, tmp_path):
    assert run("pack", made / "model.tflite", tmp_path / "model.ksp")[0] == 0
    code, printed = run("unpack", tmp_path / "model.ksp", tmp_path / "again.tflite")
    assert code == 0 and "again.tflite" in printed
    assert (tmp_path / "again.tflite").read_bytes() == (made / "model.tflite").read_bytes()
    (tmp_path / "model.ksp").write_bytes(b"not a packed file")
    assert run("unpack", tmp_path / "model.ksp", tmp_path / "other.tflite")[0] == 1
    assert not (tmp_path / "other.tflite").exists()


def test_shrink(made, tmp_path):
    code, _ = run("shrink", made / "model.tflite", tmp_path / "small.tflite")
    assert code == 0 and (tmp_path / "small.tflite").stat().st_size < (made / "model.tflite").stat().st_size
    assert run("shrink", made / "model.tflite", "--json")[0] == 0
    assert (made / "model.shrunk.tflite").read_bytes() == (tmp_path / "small.tflite").read_bytes()


@pytest.mark.parametrize("quantize", ["int8-weights", "float16"])
def test_export_in_schemes_that_need_no_samples(made, tmp_path, quantize):
    out = tmp_path / "m.tflite"
    words = ["--quantize", quantize, "--encoding", "smallest", "--target", "litert-x86", "--json"]
    code, printed = run("export", made / "model.keras", out, *words)
    assert code == 0 and json.loads(printed)["scheme"] == quantize and out.exists()


def test_samples_are_asked_for_where_they_are_needed(made, tmp_path):
    code, printed = run("export", made / "model.keras", tmp_path / "m.tflite", "--quantize", "int8")
    assert code == 1 and "needs --samples" in printed


def test_exists_names_the_first_that_is_missing(tmp_path):
    (tmp_path / "there").write_text("")
    with pytest.raises(FileNotFoundError, match="missing"):
        shell.exists(tmp_path / "there", tmp_path / "missing")
