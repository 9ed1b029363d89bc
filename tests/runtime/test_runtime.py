from __future__ import annotations

import pytest

from keras_sparse import runtime


def test_the_suffix_says_which_runtime(files):
    assert {s: type(runtime.open_session(p)).__module__.rsplit(".")[-1] for s, p in files.items()} == {
        ".tflite": "litert",
        ".onnx": "onnxruntime",
    }


def test_one_item_fits_any_session(files):
    for path in files.values():
        session = runtime.open_session(path)
        assert session.run(runtime.one_item(session))[0].tolist() == [[1.0, 1.0]]


def test_a_missing_file_and_an_unknown_suffix_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        runtime.open_session(tmp_path / "m.onnx")
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(ValueError, match="ending in one of"):
        runtime.open_session(tmp_path / "m.bin")
