"""The bundle's writer: exact bytes, the manifest, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_sparse.exporting import bundle, tflite_model
from keras_sparse.exporting.bundle import BundleError, write_bundle


def converted(function: Callable[..., Any], *shapes: tuple[int | None, ...]) -> bytes:
    import tensorflow as tf

    traced = tf.function(function, input_signature=[tf.TensorSpec(shape) for shape in shapes])
    concrete = traced.get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())


@pytest.fixture(scope="module")
def model() -> bytes:
    """x [1, 2, 2] -> y [1, 4] = 2 x, float32."""
    import tensorflow as tf

    return converted(lambda x: tf.reshape(x + x, (1, 4)), (1, 2, 2))


def by_hand(members: dict[str, bytes]) -> bytes:
    """The archive as FORMAT.md describes it, without zipfile."""
    body, directory = b"", b""
    for name, data in members.items():
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = deflate.compress(data) + deflate.flush()
        # version 2.0, no flags, deflate, 00:00:00, 1980-01-01
        common = struct.pack("<5H", 20, 0, 8, 0, 0x21)
        common += struct.pack("<3L2H", zlib.crc32(data), len(packed), len(data), len(name), 0)
        attributes = struct.pack("<3H2L", 0, 0, 0, 0o100644 << 16, len(body))
        directory += b"PK\1\2" + struct.pack("<BB", 20, 3) + common + attributes + name.encode()
        body += b"PK\3\4" + common + name.encode() + packed
    counts = struct.pack("<4H2LH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + counts


def test_exact_bytes(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "b.ksb"
    manifest = write_bundle(path, model, labels=["a", "b", "c", "ü"], versions={})
    text = json.dumps(manifest, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    assert path.read_bytes() == by_hand({"manifest.json": text.encode(), "model.tflite": model})


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "b.ksb"
    write_bundle(path, model, metrics={"a": 1, "b": 2}, recipe={"x": 1, "y": 2})
    first = path.read_bytes()
    write_bundle(path, model, metrics={"b": 2, "a": 1}, recipe={"y": 2, "x": 1})
    assert path.read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.ksb"]


def test_the_manifest(tmp_path: Path, model: bytes) -> None:
    path = tmp_path / "b.ksb"
    manifest = write_bundle(
        path,
        model,
        labels=("a", "b", "c", "d"),
        preprocessing={"dtype": "uint8", "shape": (4,), "scale": np.float32(0.5)},
        postprocessing="softmax",
        metrics={"accuracy": np.float32(0.5), "bytes": np.int64(2**53 + 1)},
        recipe={"rules": ({"sparsity": 0.5},)},
        versions={"keras": "3"},
    )
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["manifest.json", "model.tflite"]
        assert archive.read("model.tflite") == model
        assert json.loads(archive.read("manifest.json")) == manifest
    [source], [target] = manifest["inputs"], manifest["outputs"]
    assert source["shape"] == [1, 2, 2]
    assert target["shape"] == [1, 4]
    assert [source["dtype"], source["scale"], source["zero_point"]] == ["float32", None, None]
    assert {k: v for k, v in manifest.items() if k not in ("inputs", "outputs")} == {
        "format": "keras-sparse-bundle",
        "format_version": 1,
        "members": {"model.tflite": {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}},
        "labels": ["a", "b", "c", "d"],
        "preprocessing": {"dtype": "uint8", "shape": [4], "scale": 0.5, "offset": 0.0},
        "postprocessing": "softmax",
        "metrics": {"accuracy": 0.5, "bytes": 2**53 + 1},
        "recipe": {"rules": [{"sparsity": 0.5}]},
        "versions": {"keras": "3"},
    }


def test_what_is_not_given(tmp_path: Path, model: bytes) -> None:
    manifest = write_bundle(tmp_path / "b.ksb", model)
    raw = {"dtype": "float32", "shape": [2, 2], "scale": 1.0, "offset": 0.0}
    assert manifest["preprocessing"] == raw
    assert manifest["labels"] is manifest["recipe"] is None
    assert manifest["metrics"] == {}
    assert manifest["versions"]["ai-edge-litert"]


DEEP: dict[str, Any] = {}
for _ in range(bundle.MAX_DEPTH):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["a", "b"]}, r"labels must be one for each of 4 classes; got \['a', 'b'\]"),
        ({"labels": "abcd"}, "labels must be one for each of 4 classes; got 'abcd'"),
        ({"labels": ["a", "b", "c", 4]}, r"labels\[3\] must be text .* got 4"),
        ({"labels": ["a", "b", "c", "\n"]}, r"labels\[3\] must be text without control"),
        ({"labels": ["a", "b", "c", "\ud800"]}, r"labels\[3\] must be text without control"),
        ({"preprocessing": {"mean": 1}}, r"preprocessing has the keys .* got also \['mean'\]"),
        ({"preprocessing": {"dtype": "bool"}}, "preprocessing dtype must be one of .* got 'bool'"),
        ({"preprocessing": {"dtype": None}}, "preprocessing dtype must be one of .* got None"),
        ({"preprocessing": {"shape": [3]}}, r"as many values as the input's \[1, 2, 2\]; got"),
        ({"preprocessing": {"shape": [-2, -2]}}, "must be of positive integers"),
        ({"preprocessing": {"shape": [4.0]}}, "must be of positive integers"),
        ({"preprocessing": {"scale": float("nan")}}, "preprocessing scale must be finite"),
        ({"preprocessing": {"offset": 1e39}}, "preprocessing offset must be finite"),
        ({"preprocessing": {"scale": "1"}}, "preprocessing scale must be a number; got '1'"),
        ({"postprocessing": "sigmoid"}, "postprocessing must be one of .* got 'sigmoid'"),
        ({"metrics": {"loss": float("inf")}}, r"metrics\['loss'\] must be finite"),
        ({"metrics": {"good": True}}, r"metrics\['good'\] must be a number; got True"),
        ({"metrics": {1: 1}}, "a metric's name must be text"),
        ({"metrics": {"n": 2**63}}, r"metrics\['n'\] must fit int64"),
        ({"recipe": {"a": {1: 2}}}, r"recipe\['a'\] must have text as keys; got 1"),
        ({"recipe": {"a": [object]}}, r"recipe\['a'\]\[0\] must be a number"),
        ({"recipe": {"a": float("nan")}}, r"recipe\['a'\] must be finite"),
        ({"recipe": {"a": "\ud800"}}, r"recipe\['a'\] must be text that UTF-8 can hold"),
        ({"recipe": DEEP}, "recipe must nest at most 31 deep"),
        ({"recipe": {"a": "x" * 2**20}}, "manifest.json must have at most 1048576 bytes"),
        ({"versions": {"keras": 3}}, r"versions\['keras'\] must be text"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, model: bytes, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "b.ksb", model, **options)
    assert list(tmp_path.iterdir()) == []


def test_the_deepest_recipe_is_taken(tmp_path: Path, model: bytes) -> None:
    assert write_bundle(tmp_path / "b.ksb", model, recipe=DEEP["a"])["recipe"] == DEEP["a"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "model must have 1 to 268435456 bytes; got 0"),
        (b"no model", "model must be a .tflite file that LiteRT loads"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "b.ksb", data)


def test_operations_that_read_what_they_make_are_refused_before_they_are_loaded(tmp_path: Path, model: bytes) -> None:
    graph = tflite_model.Graph(tflite_model.load(model))
    graph.operators[0].inputs = graph.operators[0].outputs
    with pytest.raises(BundleError, match=r"operation 0 reads tensor \d+, which operation 0 makes later"):
        write_bundle(tmp_path / "b.ksb", tflite_model.dump(graph.model))


def test_a_model_over_the_limit_is_refused(tmp_path: Path, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_MODEL_BYTES", len(model) - 1)
    with pytest.raises(BundleError, match=f"1 to {len(model) - 1} bytes; got {len(model)}"):
        write_bundle(tmp_path / "b.ksb", model)


@pytest.mark.parametrize(
    ("function", "shapes", "message"),
    [
        (lambda x: x + x, [(2, 4)], r"input must be \[1, ...\]; got \[2, 4\]"),
        (lambda x: x + x, [(1, 2, 2)], r"output must be \[1, classes\]; got \[1, 2, 2\]"),
        (lambda x: x + x, [(1, None)], r"only the batch .* may be open \(-1\); got \[1, -1\]"),
        (lambda x, y: x + y, [(1, 4), (1, 4)], "one input and one output; got 2 and 1"),
        (lambda x: (x + x, x * x), [(1, 4)], "one input and one output; got 1 and 2"),
        (lambda x: x > 0, [(1, 4)], "output must be one of .* got bool"),
    ],
)
def test_models_that_version_1_leaves_out(
    tmp_path: Path,
    function: Callable[..., Any],
    shapes: list[tuple[int | None, ...]],
    message: str,
) -> None:
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "b.ksb", converted(function, *shapes))
