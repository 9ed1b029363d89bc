"""The command line: what it prints, what it writes, and one line and an exit code for every error."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import keras_sparse as ks
from keras_sparse import cli
from keras_sparse.demo import run, summary

ROOT = Path(__file__).resolve().parent.parent


@keras.saving.register_keras_serializable(package="test_cli")
class Unknown(layers.Layer):
    """A layer that no other process knows."""

    def call(self, inputs):
        return inputs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a float model, a quantized sparse one, samples, and damaged copies."""
    folder = tmp_path_factory.mktemp("cli")
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 1), name="image")
    x = layers.Flatten()(layers.Conv2D(8, 3, activation="relu", name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(4, name="scores")(x), name="tiny")
    model.save(folder / "float.keras")
    samples = np.random.default_rng(0).random((40, 6, 6, 1)).astype(np.float32)
    np.save(folder / "x.npy", samples)
    np.savez(folder / "x.npz", image=samples)
    np.savez(folder / "other.npz", picture=samples)
    np.save(folder / "flat.npy", samples.reshape(40, 36))
    np.save(folder / "object.npy", np.array([{}], object), allow_pickle=True)
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.75), ks.OneShot(1), match="scores/*"), ks.Quantize(begin=2)])
    recipe.save(folder / "recipe.yaml")
    (folder / "broken.yaml").write_text("rules: [")
    sparse = ks.prepare(model, recipe)
    sparse.compile("sgd", "mse", jit_compile=False)
    sparse.fit(samples, np.zeros((40, 4)), batch_size=10, verbose=0, callbacks=[ks.Sparsify(recipe)])
    sparse.save(folder / "sparse.keras")
    ks.export(model, folder / "float.tflite", samples=samples)
    ks.export(sparse, folder / "sparse.tflite", samples=samples)
    ks.export(sparse, folder / "sparse.onnx", samples=samples)
    whole = (folder / "float.keras").read_bytes()
    (folder / "cut.keras").write_bytes(whole[:1000])
    (folder / "text.keras").write_text("no model")
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    (folder / "damaged.keras").write_bytes(damaged)
    shutil.copy(folder / "float.keras", folder / "model.zip")
    (folder / "cut.tflite").write_bytes((folder / "float.tflite").read_bytes()[:800])
    (folder / "text.onnx").write_text("no model")
    (folder / "linked.onnx").symlink_to("float.keras")
    os.mkfifo(folder / "fifo.onnx")
    return folder


def call(*words):
    """`.code`, `.out`, `.err` of the command, in this process."""
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


class TestExport:
    @pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
    def test_a_model_in_a_file_out(self, made, tmp_path, suffix):
        out = tmp_path / f"out{suffix}"
        result = call("export", made / "sparse.keras", out, "--samples", made / "x.npy")
        assert (result.code, result.err) == (0, "")
        assert "scores/kernel" in result.out and "75.00 %" in result.out
        assert out.is_file()

    @pytest.mark.parametrize("samples", ["x.npy", "x.npz"])
    def test_quantize_and_json(self, made, tmp_path, samples):
        out = tmp_path / "out.tflite"
        result = call("export", made / "float.keras", out, "--quantize", "int8", "--samples", made / samples, "--json")
        report = json.loads(result.out)
        assert report["path"] == str(out) and report["scheme"] == "int8"
        assert report["bytes"] == out.stat().st_size

    def test_without_samples(self, made, tmp_path):
        result = call("export", made / "float.keras", tmp_path / "out.onnx")
        assert result.code == 0 and "random inputs" in result.out


class TestSparsity:
    @pytest.mark.parametrize("name", ["sparse.keras", "sparse.tflite", "sparse.onnx"])
    def test_of_every_kind_of_file(self, made, name):
        result = call("sparsity", made / name)
        assert (result.code, result.err) == (0, "")
        assert "75.00 %" in result.out
        kernels = json.loads(call("sparsity", made / name, "--json").out)["kernels"]
        assert max(kernel["sparsity"] for kernel in kernels) == 0.75

    def test_a_recipe_is_kept_or_broken(self, made):
        assert call("sparsity", made / "sparse.keras", "--recipe", made / "recipe.yaml").code == 0
        result = call("sparsity", made / "float.keras", "--recipe", made / "recipe.yaml")
        assert result.code == 1
        assert "were asked for" in result.out


class TestVerify:
    @pytest.mark.parametrize("name", ["sparse.tflite", "sparse.onnx"])
    def test_a_right_file(self, made, name):
        result = call("verify", made / name, made / "sparse.keras", "--samples", made / "x.npz")
        assert (result.code, result.err) == (0, "")
        assert "verified" in result.out and f"against {made / 'sparse.keras'}" in result.out.replace("\n", " ")

    def test_a_wrong_file(self, made, tmp_path):
        other = keras.models.load_model(made / "float.keras")
        other.get_layer("scores").bias.assign([1.0, 0.0, 0.0, 0.0])
        other.save(tmp_path / "other.keras")
        result = call("verify", made / "float.tflite", tmp_path / "other.keras", "--json")
        assert result.code == 1
        assert json.loads(result.out)["passed"] is False

    def test_what_no_tolerance_follows_for_is_not_verified_but_by_agreement(self, made):
        words = ("verify", made / "sparse.tflite", made / "sparse.onnx", "--samples", made / "x.npy")
        result = call(*words)
        assert result.code == 3 and "not judged" in result.out
        assert call(*words, "--agreement", "0.5").code == 0

    def test_too_little_agreement(self, made):
        result = call(
            "verify", made / "sparse.onnx", made / "float.keras", "--agreement", "1", "--samples", made / "x.npy"
        )
        assert result.code == 1
        assert "The highest output is the same on" in result.err


def test_bench(made):
    result = call("bench", made / "float.tflite", made / "sparse.onnx", "--rounds", "3")
    assert (result.code, result.err) == (0, "")
    assert "1.00x" in result.out and "sparse.onnx" in result.out.replace("\n", "")
    report = json.loads(call("bench", made / "float.tflite", "--rounds", "3", "--threads", "2", "--json").out)
    assert (report["rounds"], report["threads"], len(report["files"])) == (3, 2, 1)


class TestDemo:
    @pytest.fixture(autouse=True)
    def no_training(self, monkeypatch):
        """The demo itself is tested by `demo/test_run.py`."""
        self.asked, self.failures = [], ()

        def fake(options, console):
            self.asked.append(options)
            return SimpleNamespace(judged=not options.quick, holds=False, failures=self.failures)

        monkeypatch.setattr(run, "run", fake)
        monkeypatch.setattr(summary, "show", lambda results, console: None)

    def test_its_options(self, tmp_path):
        words = ("--data", tmp_path, "--out", tmp_path / "o", "--epochs", "3", "--seed", "4", "--quick")
        assert call("demo", *words).code == 0
        expected = run.Options(data=tmp_path, out=tmp_path / "o", quick=True, epochs=3, seed=4)
        assert self.asked == [expected]

    @pytest.mark.parametrize(("words", "code"), [([], 0), (["--strict"], 1), (["--strict", "--quick"], 0)])
    def test_a_missed_bar_is_an_error_only_if_asked_for(self, words, code):
        assert call("demo", *words).code == code

    @pytest.mark.parametrize("words", [[], ["--strict"], ["--quick"]])
    def test_what_failed_has_an_exit_code_of_its_own(self, words):
        self.failures = ("a.onnx",)
        assert call("demo", *words).code == 3


# What is typed, with {} for the folder; the exit code; and what the one line says.
ERRORS = [
    ("export {}/none.keras {}/o.tflite", 1, "There is no file {}/none.keras"),
    ("export {} {}/o.tflite", 1, "A .keras file was expected. Received: {}"),
    ("export {}/model.zip {}/o.tflite", 1, "A .keras file was expected"),
    ("export {}/text.keras {}/o.tflite", 1, "{}/text.keras is not a .keras file"),
    ("export {}/cut.keras {}/o.tflite", 1, "{}/cut.keras is not a .keras file"),
    ("export {}/damaged.keras {}/o.tflite", 1, "{}/damaged.keras cannot be loaded as a Keras model"),
    ("export {}/float.keras {}/o.tfl", 1, "['.tflite', '.onnx'] was expected. Received: {}/o.tfl"),
    ("export {}/float.keras {}/no/o.onnx", 1, "There is no folder {}/no"),
    ("export {}/float.keras {}/linked.onnx", 1, "over the one it is made from. Received: {}/float.keras"),
    ("export {}/float.keras {}/fifo.onnx", 1, "{}/fifo.onnx: A plain file was required. Received: a FIFO"),
    ("recommend {}/float.keras --target litert --goal size --out {}/float.keras", 1, "over the one it is made from"),
    ("recommend {}/float.keras --target litert --goal size --out {}/fifo.onnx", 1, "Received: a FIFO"),
    ("recommend {}/float.keras --target litert --goal size --out {}/no/r.yaml", 1, "There is no folder {}/no"),
    ("pack {}/float.tflite {}/float.tflite", 1, "over the one it is made from"),
    ("pack {}/float.tflite {}/fifo.onnx", 1, "{}/fifo.onnx: A plain file was required. Received: a FIFO"),
    ("pack {}/float.tflite {}", 1, "{}: A plain file was required. Received: a folder"),
    ("shrink {}/float.tflite {}/fifo.onnx", 1, "{}/fifo.onnx: A plain file was required. Received: a FIFO"),
    ("export {}/float.keras {}/o.onnx --samples {}/flat.npy", 1, "(None, 6, 6, 1). Received: (40, 36)"),
    ("export {}/float.keras {}/o.onnx --samples {}/other.npz", 1, "by name are ['image']. Received: ['picture']"),
    ("export {}/float.keras {}/o.onnx --samples {}/object.npy", 1, "Object arrays cannot be loaded"),
    ("export {}/float.keras {}/o.onnx --samples {}/none.npy", 1, "There is no file {}/none.npy"),
    ("export {}/float.keras {}/o.onnx --quantize int8", 1, "it needs --samples"),
    ("export {}/float.keras {}/o.onnx --quantize int4 --samples {}/x.npy", 1, "quantize='int4'"),
    ("export {}/float.keras", 2, "Missing argument 'out'"),
    ("sparsity {}/none.onnx", 1, "There is no file {}/none.onnx"),
    ("sparsity {}/model.zip", 1, "A .keras, .tflite or .onnx file was expected"),
    ("sparsity {}/text.onnx", 1, "{}/text.onnx is not an .onnx file"),
    ("sparsity {}/cut.tflite", 1, "{}/cut.tflite is a damaged .tflite file"),
    ("sparsity {}/sparse.onnx --recipe {}/recipe.yaml", 1, "A recipe names the kernels of a .keras model"),
    ("sparsity {}/float.keras --recipe {}/broken.yaml", 1, "{}/broken.yaml, line 1, column 9: this is not YAML"),
    ("verify {}/float.keras {}/float.keras", 1, "['.tflite', '.onnx'] was expected"),
    ("verify {}/float.tflite {}/none.keras", 1, "There is no file {}/none.keras"),
    ("verify {}/float.tflite {}/x.npy", 1, "['.tflite', '.onnx'] was expected"),
    ("verify {}/float.tflite {}/float.keras --samples {}/flat.npy", 1, "takes shape (None, 6, 6, 1)"),
    ("verify {}/float.tflite {}/float.keras --agreement 2", 2, "Invalid value for '--agreement'"),
    ("bench {}/none.tflite", 1, "There is no file {}/none.tflite"),
    ("bench {}/float.keras", 1, "['.tflite', '.onnx'] was expected"),
    ("bench {}/cut.tflite", 1, "{}/cut.tflite was refused by its runtime"),
    ("bench {}/float.tflite --rounds 0", 2, "Invalid value for '--rounds'"),
    ("demo --data {}/none", 1, "{}/none must be a folder"),
    ("demo --epochs 0", 2, "Invalid value for '--epochs'"),
    ("demo --what", 2, "--what"),
    ("what", 2, "No such command 'what'"),
]


@pytest.mark.parametrize(("typed", "code", "says"), ERRORS, ids=[typed.replace("{}/", "") for typed, _, _ in ERRORS])
def test_an_error_is_one_line_on_stderr(made, tmp_path, monkeypatch, typed, code, says):
    monkeypatch.chdir(tmp_path)
    result = call(*(word.format(made) if "{}" in word else word for word in typed.split()))
    assert result.code == code
    assert result.err.startswith("keras-sparse: error: ") and result.err.endswith("\n") and result.err.count("\n") == 1
    assert says.replace("{}", str(made)) in result.err
    assert len(result.err) < 700
    assert not list(made.glob("o.*"))


@pytest.mark.parametrize("words", [["--debug", "sparsity", "none.keras"], ["sparsity", "none.keras", "--debug"]])
def test_debug_shows_the_traceback(words):
    with pytest.raises(FileNotFoundError, match=r"none\.keras"):
        call(*words)


def test_a_model_of_an_unknown_class_is_one_line(tmp_path):
    model = keras.Sequential([keras.Input((2,)), Unknown(), layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    ran = subprocess_of("sparsity", tmp_path / "m.keras")
    assert ran.returncode == 1
    assert "m.keras cannot be loaded as a Keras model: Could not locate class 'Unknown'" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_an_error_of_tensorflow_is_one_line(made, tmp_path):
    """Random integers are 0 or 1; a table of one row has no second one."""
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, layers.Embedding(1, 2)(inputs))
    model.save(tmp_path / "m.keras")
    result = call("export", tmp_path / "m.keras", tmp_path / "o.tflite")
    assert result.code == 1
    assert result.err.startswith("keras-sparse: error: ") and result.err.count("\n") == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt, EOFError])
def test_an_interrupt(made, monkeypatch, raised):
    def interrupted(*_, **__):
        raise raised

    monkeypatch.setattr(ks, "sparsity", interrupted)
    result = call("sparsity", made / "float.keras")
    assert result.err.strip().splitlines() == ["keras-sparse: error: interrupted"]
    assert result.code == 130


def test_version():
    assert call("--version").out == f"keras-sparse {ks.__version__}\n"


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_names_every_command(words):
    result = call(*words)
    assert result.code == 0
    for name in ("demo", "export", "sparsity", "verify", "bench"):
        assert f"\n  {name} " in result.out
        assert call(name, "--help").code == 0


def subprocess_of(*words):
    command = [sys.executable, "-c", "import keras_sparse_command; keras_sparse_command.main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


class TestProcess:
    """What only a process of its own shows: exit codes, and what native libraries print."""

    def test_output_can_be_read_by_a_program(self, made):
        ran = subprocess_of("bench", made / "float.tflite", "--rounds", "2", "--json")
        assert ran.returncode == 0
        assert json.loads(ran.stdout)["rounds"] == 2
        assert ran.stderr == ""

    def test_an_error(self, made):
        ran = subprocess_of("verify", made / "cut.tflite", made / "float.keras")
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr.startswith(f"keras-sparse: error: {made}/cut.tflite is a damaged .tflite file")
        assert ran.stderr.count("\n") == 1

    def test_debug(self, made):
        ran = subprocess_of("sparsity", made / "none.onnx", "--debug")
        assert ran.returncode == 1
        assert "Traceback" in ran.stderr and "FileNotFoundError" in ran.stderr

    @pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
    def test_a_folder_that_cannot_be_written_to(self, made, tmp_path):
        tmp_path.chmod(0o500)
        ran = subprocess_of("export", made / "float.keras", tmp_path / "o.tflite")
        assert ran.returncode == 1
        assert "Permission denied" in ran.stderr and ran.stderr.count("\n") == 1
