"""What each runtime is called, and which files it takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_sparse import target


@pytest.mark.parametrize("each", target.TARGETS.values(), ids=lambda each: each.name)
def test_every_target_is_found_by_suffix_and_by_name(each: target.Target) -> None:
    assert target.find(f"some/model{each.suffix}") is each
    assert target.find(Path(f"model{each.suffix}"), each.name) is each
    assert target.TARGETS[each.name] is each


def test_suffixes_are_those_of_one_target() -> None:
    suffixes = [each.suffix for each in target.TARGETS.values()]
    assert len(set(suffixes)) == len(suffixes)
    assert target.find("a.tflite").name == "litert"
    assert target.find("a.b.onnx").name == "onnxruntime"


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['\.tflite', '\.onnx'\] was expected\. Received: model\.keras"):
        target.find("model.keras")
    with pytest.raises(ValueError, match="was expected"):
        target.find("model")
    with pytest.raises(ValueError, match=r"Unknown target.*\['litert', 'onnxruntime'\].*'tensorrt'"):
        target.find("model.onnx", "tensorrt")
    with pytest.raises(ValueError, match=r"Files for litert end in \.tflite\. Received: model\.onnx"):
        target.find("model.onnx", "litert")
