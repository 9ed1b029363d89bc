"""The command as it is installed: what a user sees before and around the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from onnx import helper, numpy_helper, save

import keras_sparse as ks
from keras_sparse.packing.pack import pack

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments, code="import keras_sparse_command; keras_sparse_command.main()"):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)


def test_nothing_but_the_answer_is_printed():
    ran = run("--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("keras-sparse ")


def test_an_error_is_one_line_and_a_code():
    ran = run("sparsity", "no-such-file.keras")
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == ["keras-sparse: error: There is no file no-such-file.keras"]


def test_what_was_held_back_is_shown_when_loading_fails():
    code = (
        "import os, sys, keras_sparse_command as command\n"
        "with command._held_back(sys.stderr):\n"
        "    os.write(2, b'a notice\\n')\n"
        "    raise ImportError('no tensorflow')"
    )
    ran = run(code=code)
    assert ran.returncode == 1
    assert ran.stderr.startswith("a notice\n")
    assert "ImportError: no tensorflow" in ran.stderr


def test_the_console_script_is_this_one():
    entry = [line for line in (ROOT / "setup.cfg").read_text().splitlines() if "keras-sparse =" in line]
    assert [line.strip() for line in entry] == ["keras-sparse = keras_sparse_command:main"]


def test_help_names_every_command():
    text = run("--help").stdout
    assert all(word in text for word in ("demo", "export", "sparsity", "verify", "bench"))


HEAVY = "tensorflow", "keras", "onnxruntime", "matplotlib"


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["pack", "--help"], ["pack"], ["unpack"]])
def test_what_needs_no_keras_does_not_wait_for_it(words, tmp_path):
    if words == ["pack"]:
        make_onnx(tmp_path / "m.onnx")
        words = ["pack", str(tmp_path / "m.onnx"), str(tmp_path / "m.ksp")]
    if words == ["unpack"]:
        make_onnx(tmp_path / "m.onnx")
        pack(tmp_path / "m.onnx", tmp_path / "m.ksp")
        words = ["unpack", str(tmp_path / "m.ksp"), str(tmp_path / "again.onnx")]
    code = (
        "import sys, keras_sparse_command\n"
        "try:\n    keras_sparse_command.main()\n"
        f"finally:\n    print('LOADED', [name for name in {HEAVY} if name in sys.modules])"
    )
    ran = run(*words, code=code)
    assert ran.stdout.endswith("LOADED []\n"), ran.stdout + ran.stderr
    assert ran.returncode == 0


def test_in_the_command_the_public_names_are_there_when_asked_for():
    code = (
        "import sys, keras_sparse_command, keras_sparse as ks\n"
        "assert 'keras' not in sys.modules\n"
        "from keras_sparse import target\n"
        "assert 'keras' not in sys.modules and not hasattr(ks, 'no_such_name')\n"
        "print(ks.Prune.__name__, 'keras' in sys.modules, 'export' in ks.__all__)"
    )
    ran = run(code=code)
    assert ran.stdout == "Prune True True\n", ran.stderr


def test_elsewhere_keras_knows_the_classes_once_the_package_is_imported(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    ks.prepare(model, ks.Recipe([ks.Quantize()])).save(tmp_path / "m.keras")
    load = "keras.models.load_model(sys.argv[1]).layers"
    code = f"import sys, keras_sparse, keras; print([type(each).__name__ for each in {load}])"
    ran = run(str(tmp_path / "m.keras"), code=code)
    assert "QuantizedWeights" in ran.stdout, ran.stderr


def make_onnx(path):
    tensor = numpy_helper.from_array(np.arange(400, dtype=np.float32).reshape(20, 20), "w")
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", 1, [20, 20])
    save(helper.make_model(helper.make_graph([node], "g", [], [output], [tensor])), path)
