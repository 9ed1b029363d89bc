"""From raw items to scores, against NumPy twins of the tiny models."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

import keras_sparse_edge
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_sparse_edge import Bundle, BundleError, InputError, errors, run, strict_json
from keras_sparse_edge.__main__ import top_classes
from keras_sparse_edge.manifest import Preprocessing, Tensor, parse_manifest

from keras_sparse.exporting.bundle import write_bundle

WEIGHTS = np.eye(3, dtype="float32")[np.arange(16) % 3]
RAW = {"dtype": "uint8", "shape": [4, 4], "scale": 1 / 255, "offset": 0.0}


@pytest.fixture
def images() -> np.ndarray:
    """Three uint8 items (4, 4)."""
    return np.random.default_rng(0).integers(0, 256, (3, 4, 4), "uint8")


def expected(images: np.ndarray) -> np.ndarray:
    return images.reshape(-1, 16).astype("float32") / 255 @ WEIGHTS


def opened(path: Path, model: bytes, **options: Any) -> Bundle:
    write_bundle(path, model, preprocessing=RAW, **options)
    return Bundle.open(path)


def test_float(tmp_path: Path, models: dict[str, bytes], images: np.ndarray) -> None:
    scores = opened(tmp_path / "b.ksb", models["float32"]).predict(images)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected(images), rtol=1e-5)


def test_int8(tmp_path: Path, models: dict[str, bytes], images: np.ndarray) -> None:
    bundle = opened(tmp_path / "b.ksb", models["int8"])
    scores = bundle.predict(images)
    scale = bundle.manifest.output.scale
    assert scale is not None
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected(images), atol=2 * scale)
    np.testing.assert_allclose(scores / scale, np.rint(scores / scale), atol=1e-4)


def test_one_item_is_a_batch_of_one(tmp_path: Path, models: dict[str, bytes], images: np.ndarray) -> None:
    bundle = opened(tmp_path / "b.ksb", models["float32"])
    batch = bundle.predict(images)
    np.testing.assert_array_equal(bundle.predict(images[1]), batch[1:2])
    np.testing.assert_array_equal(Bundle.open(tmp_path / "b.ksb", threads=2).predict(images), batch)


def test_softmax(tmp_path: Path, models: dict[str, bytes], images: np.ndarray) -> None:
    scores = opened(tmp_path / "b.ksb", models["float32"], postprocessing="softmax").predict(images)
    powers = np.exp(expected(images))
    np.testing.assert_allclose(scores, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_without_preprocessing_the_item_is_the_input(tmp_path: Path, models: dict[str, bytes]) -> None:
    write_bundle(tmp_path / "b.ksb", models["float32"])
    x = np.linspace(-1, 1, 32, dtype="float32").reshape(2, 4, 4, 1)
    scores = Bundle.open(tmp_path / "b.ksb").predict(x)
    np.testing.assert_allclose(scores, x.reshape(2, 16) @ WEIGHTS, atol=1e-6)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (np.zeros((4, 4), "float32"), "got the dtype 'float32'"),
        (np.zeros((4, 4), "int8"), "got the dtype 'int8'"),
        (np.zeros((4, 4), object), "got the dtype 'object'"),
        (np.zeros((4, 5), "uint8"), r"got the shape \[4, 5\]"),
        (np.zeros(16, "uint8"), r"got the shape \[16\]"),
        (np.zeros((), "uint8"), r"got the shape \[\]"),
        (np.zeros((1, 1, 4, 4), "uint8"), r"got the shape \[1, 1, 4, 4\]"),
        (np.zeros((0, 4, 4), "uint8"), "got none"),
    ],
)
def test_items_must_fit(tmp_path: Path, models: dict[str, bytes], items: np.ndarray, message: str) -> None:
    bundle = opened(tmp_path / "b.ksb", models["float32"])
    with pytest.raises(InputError, match=r"must be uint8 \[4, 4\], or n of them; .*" + message):
        bundle.predict(items)


def test_byte_order_is_part_of_the_dtype() -> None:
    with pytest.raises(InputError, match="got the dtype '>f4'"):
        run.as_batch(np.zeros((1, 2), ">f4"), Preprocessing("float32", (2,), 1.0, 0.0))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_items_must_be_finite(tmp_path: Path, models: dict[str, bytes], value: float) -> None:
    write_bundle(tmp_path / "b.ksb", models["float32"], preprocessing={"dtype": "float64"})
    items = np.zeros((2, 4, 4, 1))
    items[1, 2, 3, 0] = value
    with pytest.raises(InputError, match="item 1 is not"):
        Bundle.open(tmp_path / "b.ksb").predict(items)


def test_scores_must_be_finite(tmp_path: Path, models: dict[str, bytes]) -> None:
    write_bundle(tmp_path / "b.ksb", models["float32"])
    with pytest.raises(BundleError, match="those of item 0 are not"):
        Bundle.open(tmp_path / "b.ksb").predict(np.full((4, 4, 1), 3e38, "float32"))


def test_a_model_that_is_none_is_refused(document: dict[str, Any], stub: bytes) -> None:
    import json

    bundle = Bundle(parse_manifest(json.dumps(document).encode()), stub)
    with pytest.raises(BundleError, match=r"model.tflite cannot be loaded"):
        bundle.predict(np.zeros((2, 2), "uint8"))


def test_the_model_must_be_what_the_manifest_says(tmp_path: Path, models: dict[str, bytes], images: np.ndarray) -> None:
    manifest = opened(tmp_path / "b.ksb", models["float32"]).manifest
    with pytest.raises(BundleError, match=r"inputs of model.tflite must be .* as the manifest"):
        Bundle(manifest, models["int8"]).predict(images)


def test_without_the_runtime_the_error_names_it(
    tmp_path: Path,
    models: dict[str, bytes],
    images: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = opened(tmp_path / "b.ksb", models["float32"])
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match="ai-edge-litert is required to run a bundle"):
        bundle.predict(images)


FINITE = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None)
@given(
    x=st.lists(FINITE, min_size=1, max_size=20),
    scale=st.floats(2**-20, 2**10, width=32),
    dtype=st.sampled_from(["int8", "uint8", "int16"]),
    data=st.data(),
)
def test_quantizing_is_off_by_half_a_step(x: list[float], scale: float, dtype: str, data: st.DataObject) -> None:
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    tensor = Tensor("x", (1, len(x)), dtype, scale, data.draw(st.integers(low, high)))
    assert tensor.zero_point is not None
    values = np.array(x, "float32")
    q = run.quantize(values, tensor)
    assert q.dtype == dtype
    ends = [(end - tensor.zero_point) * scale for end in (low, high)]
    clipped = np.clip(values.astype("float64"), *ends)
    error = np.abs(run.dequantize(q, tensor).astype("float64") - clipped)
    assert (error <= scale / 2 * 1.001 + np.abs(clipped) * 1e-6).all()
    assert run.dequantize(run.quantize(np.zeros(1, "float32"), tensor), tensor) == 0


def test_ties_are_ordered_by_class() -> None:
    top = top_classes(np.array([[0.5, 0.9, 0.5, 0.9]], "float32"), None, 9)[0]["top"]
    assert [entry["class"] for entry in top] == [1, 3, 0, 2]
    assert [entry["label"] for entry in top] == [None] * 4


@pytest.mark.parametrize("module", [run, errors, strict_json, keras_sparse_edge.__main__])
def test_the_examples_run(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
