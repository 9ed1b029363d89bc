from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.runtime import isolated

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_the_child_gives_the_outputs(files, suffix):
    for given in ([X], {"x": X}):
        assert isolated.run(files[suffix], given)[0].tolist() == [[7.0, 7.0], [25.0, 25.0]]


def test_the_child_needs_neither_tensorflow_nor_keras(files, monkeypatch, tmp_path):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('must not be imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert isolated.run(files[".tflite"], [X])[0].shape == (2, 2)


def test_a_file_that_crashes_takes_only_the_child_with_it(files, monkeypatch):
    crash = isolated._BOOTSTRAP.replace("main()", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(isolated, "_BOOTSTRAP", crash)
    with pytest.raises(isolated.RuntimeFailure, match=r"m\.tflite crashed its runtime \(SIGSEGV\)"):
        isolated.run(files[".tflite"], [X])


def test_a_file_that_hangs_is_given_up(files, monkeypatch):
    monkeypatch.setattr(isolated, "_BOOTSTRAP", "import time; time.sleep(60)")
    with pytest.raises(isolated.RuntimeFailure, match="did not finish within 1 s"):
        isolated.run(files[".tflite"], [X], timeout=1)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_damaged_files_are_refused_with_the_runtime_s_words(files, suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(files[suffix].read_bytes()[:200])
    with pytest.raises(isolated.RuntimeFailure, match=r"refused by its runtime \(exit code 1\): \S"):
        isolated.run(path, [X])


def test_memory_is_what_the_file_adds(files):
    added = isolated.memory(files[".onnx"])
    assert added is None or 1e5 < added < 1e9


def test_inputs_may_be_called_what_numpy_calls_its_own_arguments(tmp_path):
    given = {name: np.float32([place]) for place, name in enumerate(("file", "allow_pickle", "place 0", "name x"))}
    np.savez(tmp_path / "given.npz", **isolated.named(given))
    with np.load(tmp_path / "given.npz") as arrays:
        assert isolated.taken(arrays).keys() == given.keys()
    np.savez(tmp_path / "given.npz", **isolated.named([X, X + 1]))
    with np.load(tmp_path / "given.npz") as arrays:
        assert [each[0, 0] for each in isolated.taken(arrays)] == [0, 1]
