"""The manifest: every rule of FORMAT.md, and that both ends and the page state the same ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras_sparse_edge import BundleError, bundle, manifest, strict_json
from keras_sparse_edge.manifest import parse_manifest

from keras_sparse.exporting import bundle as writer


def parse(document: Any) -> manifest.Manifest:
    return parse_manifest(json.dumps(document).encode())


def test_good(document: dict[str, Any]) -> None:
    came = parse(document)
    assert came.input == manifest.Tensor("x", (1, 2, 2, 1), "int8", 0.5, -3)
    assert came.output == manifest.Tensor("y", (1, 2), "float32", None, None)
    assert came.labels == ("cat", "dog")
    assert came.preprocessing == manifest.Preprocessing("uint8", (2, 2), 0.25, -1.0)
    assert came.postprocessing == "softmax"
    assert came.metrics == {"accuracy": 0.5, "count": 3}
    assert came.recipe == {"rules": [1, None, {"a": "b"}]}
    assert came.versions == {"keras": "3.15.1"}
    assert came.document == document


def test_what_may_be_left_empty(document: dict[str, Any]) -> None:
    came = parse(document | {"labels": None, "recipe": None, "metrics": {}, "versions": {}})
    assert (came.labels, came.recipe, came.metrics, came.versions) == (None, None, {}, {})


def test_both_ends_state_one_format() -> None:
    assert writer.FORMAT == manifest.FORMAT
    assert writer.FORMAT_VERSION == manifest.FORMAT_VERSION
    assert list(writer.TENSOR_DTYPES) == list(manifest.TENSOR_RANGES)
    assert writer.RAW_DTYPES == manifest.RAW_DTYPES
    assert writer.POSTPROCESSING == manifest.POSTPROCESSING
    assert writer.MAX_FLOAT == strict_json.MAX_FLOAT
    assert writer.MAX_DEPTH == strict_json.MAX_DEPTH - 1
    assert bundle.MEMBER_LIMITS == {
        "manifest.json": writer.MAX_MANIFEST_BYTES,
        "model.tflite": writer.MAX_MODEL_BYTES,
    }


def test_the_page_states_the_limits(edge_folder: Path, document: dict[str, Any]) -> None:
    page = (edge_folder / "FORMAT.md").read_text(encoding="utf-8")
    for limit in (*bundle.MEMBER_LIMITS.values(), bundle.MAX_BUNDLE_BYTES):
        assert f"{limit // 2**20} MiB" in page
    assert f"{bundle.MAX_DIRECTORY_BYTES // 2**10} KiB" in page
    assert f"at most {strict_json.MAX_DEPTH} deep" in page
    for name in (*manifest.RAW_DTYPES, *manifest.TENSOR_RANGES, *document):
        assert f"`{name}`" in page


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20)
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False)
INTEGER = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | INTEGER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    labels=st.none() | st.lists(TEXT, min_size=3, max_size=3),
    metrics=st.dictionaries(TEXT, NUMBER | INTEGER, max_size=4),
    recipe=st.none() | st.dictionaries(TEXT, JSON, max_size=3),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
    kind=st.sampled_from(["float32", "int8"]),
)
def test_what_is_written_is_read(
    tmp_path: Path,
    models: dict[str, bytes],
    labels: list[str] | None,
    metrics: dict[str, float],
    recipe: dict[str, Any] | None,
    versions: dict[str, str],
    kind: str,
) -> None:
    path = tmp_path / "b.ksb"
    written = writer.write_bundle(path, models[kind], labels=labels, metrics=metrics, recipe=recipe, versions=versions)
    came, model = bundle.read_bundle(path)
    assert model == models[kind]
    assert came.document == written
    assert came.labels == (None if labels is None else tuple(labels))
    assert came.metrics == metrics
    assert came.recipe == recipe
    assert came.versions == versions


BAD_VALUES = [
    ("format", "zip", "format must be 'keras-sparse-bundle'; got 'zip'"),
    ("format_version", 2, "format_version must be 1; got 2"),
    ("format_version", True, "format_version must be 1; got True"),
    ("format_version", 1.0, "format_version must be 1; got 1.0"),
    ("extra", 1, "manifest has the unknown key 'extra'"),
    ("members", {}, "members lacks the key 'model.tflite'"),
    ("members|../x", {}, "members has the unknown key '../x'"),
    ("members|model.tflite", {"bytes": 1}, "members['model.tflite'] lacks the key 'sha256'"),
    ("members|model.tflite|bytes", 0, "bytes must be an integer in [1, "),
    ("members|model.tflite|sha256", "A" * 64, "sha256 must be 64 lower-case hex digits"),
    ("members|model.tflite|sha256", "a" * 64 + "\n", "sha256 must be 64 lower-case hex digits"),
    ("inputs", [], "inputs must be a list of one tensor"),
    ("outputs", [1, 2], "outputs must be a list of one tensor"),
    ("inputs|0", 5, "inputs[0] must be an object; got 5"),
    ("inputs|0|extra", 5, "inputs[0] has the unknown key 'extra'"),
    ("inputs|0|name", 5, "inputs[0].name must be text"),
    ("inputs|0|dtype", "float16", "inputs[0].dtype must be one of float32, int8"),
    ("inputs|0|dtype", ["int8"], "inputs[0].dtype must be one of"),
    ("inputs|0|shape", [2, 2, 2, 1], "inputs[0].shape must be [1, ...]; got [2, 2, 2, 1]"),
    ("inputs|0|shape", [1], "inputs[0].shape must be [1, ...]"),
    ("inputs|0|shape", [1, -4], "inputs[0].shape[1] must be an integer in [1, "),
    ("inputs|0|shape", [1, 4.0], "inputs[0].shape[1] must be an integer"),
    ("inputs|0|shape", [1, True], "inputs[0].shape[1] must be an integer"),
    ("inputs|0|shape", [1] * 9, "inputs[0].shape must be a list of 1 to 8 sizes"),
    ("inputs|0|shape", "1", "inputs[0].shape must be a list"),
    ("inputs|0|scale", None, "inputs[0].scale must be a number; got None"),
    ("inputs|0|scale", 0, "inputs[0].scale must be > 0; got 0"),
    ("inputs|0|scale", -0.5, "inputs[0].scale must be > 0; got -0.5"),
    ("inputs|0|zero_point", 128, "inputs[0].zero_point must be an integer in [-128, 127]"),
    ("inputs|0|zero_point", None, "inputs[0].zero_point must be an integer"),
    ("outputs|0|scale", 0.5, "outputs[0]: scale and zero_point must be null for float32"),
    ("outputs|0|shape", [1, 2, 2], "outputs[0].shape must be [1, classes]; got [1, 2, 2]"),
    ("outputs|0|shape", [2, 2], "outputs[0].shape must be [1, classes]"),
    ("labels", ["cat"], "labels must be one for each of 2 classes; got 1"),
    ("labels", "ab", "labels must be a list or null; got 'ab'"),
    ("labels", ["cat", 1], "labels[1] must be text"),
    ("labels", ["cat", "\x1b[2J"], "labels[1] must be text without control characters"),
    ("labels", ["cat", "a\nb"], "labels[1] must be text without control characters"),
    ("labels", ["cat", "\ud800"], "labels[1] must be text without control characters"),
    ("preprocessing", None, "preprocessing must be an object; got None"),
    ("preprocessing|mean", 0, "preprocessing has the unknown key 'mean'"),
    ("preprocessing|dtype", "object", "preprocessing.dtype must be one of uint8"),
    ("preprocessing|shape", [2, 3], "preprocessing.shape must hold as many values as"),
    ("preprocessing|scale", "1", "preprocessing.scale must be a number; got '1'"),
    ("preprocessing|offset", True, "preprocessing.offset must be a number; got True"),
    ("postprocessing", "sigmoid", "postprocessing must be one of softmax, none; got 'sigmoid'"),
    ("metrics", [], "metrics must be an object; got []"),
    ("metrics|accuracy", "high", "metrics['accuracy'] must be a number; got 'high'"),
    ("metrics|\n", 1, "a metric's name must be text without control characters"),
    ("recipe", [], "recipe must be an object; got []"),
    ("versions", None, "versions must be an object; got None"),
    ("versions|keras", 3, "versions['keras'] must be text"),
]


def put(document: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a path such as "inputs|0|scale"."""
    place: Any = document
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("|")]
    for key in parents:
        place = place[key]
    place[last] = value


@pytest.mark.parametrize(("path", "value", "message"), BAD_VALUES)
def test_bad_values_are_named(document: dict[str, Any], path: str, value: Any, message: str) -> None:
    put(document, path, value)
    with pytest.raises(BundleError) as caught:
        parse(document)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_key_is_required(document: dict[str, Any]) -> None:
    for key in document:
        with pytest.raises(BundleError, match=key):
            parse({name: value for name, value in document.items() if name != key})


@pytest.mark.parametrize("path", ["inputs|0|scale", "preprocessing|scale", "metrics|accuracy", "recipe|rules|0"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1e39"])
def test_numbers_must_be_finite(document: dict[str, Any], path: str, number: str) -> None:
    put(document, path, "HERE")
    with pytest.raises(BundleError, match="must be finite float32"):
        parse_manifest(json.dumps(document).replace('"HERE"', number).encode())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not UTF-8 JSON"),
        (b"{", "not UTF-8 JSON"),
        (b"\xff\xfe{}", "not UTF-8 JSON"),
        (b"\xef\xbb\xbf{}", "not UTF-8 JSON"),
        ("{}".encode("utf-16"), "not UTF-8 JSON"),
        (b"[" * 2**20, "not UTF-8 JSON"),
        (b"[" * 33 + b"]" * 33, "nest at most 32 deep"),
        (b"[" * 32 + b"]" * 32, "must be a JSON object"),
        (b"[1]", "must be a JSON object; got [1]"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice"),
        (b'{"a": 9223372036854775808}', "must fit int64; got '9223372036854775808'"),
        (b'{"a": ' + b"9" * 10000 + b"}", "must fit int64"),
        (b'{"format": "' + b"x" * 10000 + b'"}', "xxx..."),
    ],
)
def test_bad_json_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
