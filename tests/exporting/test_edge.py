from __future__ import annotations

import json
import zipfile

import pytest

import keras_sparse as ks


def test_a_bundle_holds_the_file_and_what_was_said(files, trained, tmp_path):
    path = ks.bundle(
        files[".tflite"],
        tmp_path / "m.ksb",
        labels=list("abcde"),
        preprocessing={"dtype": "uint8", "shape": [12, 12, 3], "scale": 1 / 255},
        metrics={"accuracy": 0.5},
        recipe=trained.recipe,
    )
    with zipfile.ZipFile(path) as bundle:
        assert bundle.read("model.tflite") == files[".tflite"].path.read_bytes()
        manifest = json.loads(bundle.read("manifest.json"))
    assert manifest["labels"] == list("abcde")
    assert ks.Recipe.from_dict(manifest["recipe"]) == trained.recipe
    assert manifest["versions"]["keras-sparse"] == ks.__version__


def test_what_cannot_be_a_bundle_is_refused(files, tmp_path):
    with pytest.raises(ValueError, match=r"holds a \.tflite file"):
        ks.bundle(files[".onnx"], tmp_path / "m.ksb")
    with pytest.raises(ValueError, match="labels"):
        ks.bundle(files[".tflite"], tmp_path / "m.ksb", labels=["one"])
    with pytest.raises(TypeError, match="must be a Recipe"):
        ks.bundle(files[".tflite"], tmp_path / "m.ksb", recipe={"rules": []})
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_not_replaced_by_its_bundle(files, tmp_path):
    path = files[".tflite"].path
    (tmp_path / "m.ksb").symlink_to(path)
    before = path.read_bytes()
    for dst in (path, tmp_path / "m.ksb"):
        with pytest.raises(ValueError, match="over the one it is made from"):
            ks.bundle(path, dst)
    assert path.read_bytes() == before
