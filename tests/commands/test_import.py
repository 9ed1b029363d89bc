"""`--import`: models with classes of their own, from the shell."""

from __future__ import annotations

import subprocess
import sys

import pytest

OWN = """
import keras

@keras.saving.register_keras_serializable(package="own")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
"""
MAKE = """
import keras, numpy, own
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), own.Doubled()])
model.save("model.keras")
numpy.save("x.npy", numpy.ones((4, 4), "float32"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    (folder / "broken.py").write_text("1 / 0")
    subprocess.run([sys.executable, "-c", MAKE], cwd=folder, check=True, capture_output=True)
    return folder


def run(folder, *words):
    code = "import keras_sparse_command; keras_sparse_command.main()"
    return subprocess.run([sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["explain", "model.keras", "--target", "litert", "--import", "own"],
        ["recommend", "model.keras", "--target", "packed", "--goal", "size", "--import", "own.py"],
        ["export", "model.keras", "model.tflite", "--samples", "x.npy", "--import", "./own.py"],
        ["sparsity", "model.keras", "--import", "own"],
        ["verify", "model.tflite", "model.keras", "--samples", "x.npy", "--import", "own"],
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_reads_keras_files_takes_it(folder, words):
    if words[0] == "verify":
        assert run(folder, "export", "model.keras", "model.tflite", "--import", "own").returncode == 0
    ran = run(folder, *words)
    assert ran.returncode == 0, ran.stderr


def test_without_it_the_error_names_it(folder):
    ran = run(folder, "sparsity", "model.keras")
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "Doubled" in ran.stderr and "--import MODULE" in ran.stderr


@pytest.mark.parametrize(
    ("name", "said"), [("broken", "ZeroDivisionError"), ("no_such", "ModuleNotFound"), ("no.py", "There is no file")]
)
def test_what_cannot_be_imported_is_one_line(folder, name, said):
    ran = run(folder, "sparsity", "model.keras", "--import", name)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1)
    assert said in ran.stderr
