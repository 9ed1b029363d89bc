"""The manifest of a bundle: validated whole, once, then trusted (FORMAT.md is the contract)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_sparse_edge import strict_json
from keras_sparse_edge.errors import BundleError, shown

FORMAT = "keras-sparse-bundle"
FORMAT_VERSION = 1
MODEL = "model.tflite"
# stored range of the dtypes a model's input or output may have; None: not quantized
TENSOR_RANGES: dict[str, tuple[int, int] | None] = {
    "float32": None,
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
}
RAW_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")
POSTPROCESSING = ("softmax", "none")
MAX_DIM = 2**31 - 1

_KEYS = (
    "format",
    "format_version",
    "members",
    "inputs",
    "outputs",
    "labels",
    "preprocessing",
    "postprocessing",
    "metrics",
    "recipe",
    "versions",
)
# these would break the runner's lines, or could not be printed at all
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True)
class Member:
    """What the manifest says of a member's bytes."""

    sha256: str  # 64 lower-case hex digits
    bytes: int


@dataclass(frozen=True)
class Tensor:
    """The model's input or output."""

    name: str
    shape: tuple[int, ...]  # with the batch: (1, 28, 28, 1), (1, 10)
    dtype: str
    scale: float | None  # real = (stored - zero_point) * scale; None for float32
    zero_point: int | None


@dataclass(frozen=True)
class Preprocessing:
    """One raw item, and how it becomes the model's float input."""

    dtype: str  # of one raw item
    shape: tuple[int, ...]  # of one raw item, without batch: (28, 28)
    scale: float  # float input = raw * scale + offset
    offset: float


@dataclass(frozen=True)
class Manifest:
    """`manifest.json`, validated."""

    members: dict[str, Member]
    input: Tensor
    output: Tensor
    labels: tuple[str, ...] | None
    preprocessing: Preprocessing
    postprocessing: str
    metrics: dict[str, int | float]  # a count stays exact
    recipe: dict[str, Any] | None
    versions: dict[str, str]
    document: dict[str, Any]  # the JSON as it was read


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in the bytes of `manifest.json`; BundleError names the first rule it breaks."""
    document = strict_json.load(data)
    if not isinstance(document, dict):
        raise BundleError(f"manifest must be a JSON object; got {shown(document)}")
    # a later version may have other keys, so its number is looked at before them
    if document.get("format") != FORMAT:
        raise BundleError(f"format must be {FORMAT!r}; got {shown(document.get('format'))}")
    version = document.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise BundleError(f"format_version must be {FORMAT_VERSION}; got {shown(version)}")
    _object(document, "manifest", _KEYS)
    members = _object(document["members"], "members", [MODEL])
    recipe = document["recipe"]
    manifest = Manifest(
        members={name: _member(value, f"members[{name!r}]") for name, value in members.items()},
        input=_tensor(_only(document["inputs"], "inputs"), "inputs[0]"),
        output=_tensor(_only(document["outputs"], "outputs"), "outputs[0]"),
        labels=_labels(document["labels"]),
        preprocessing=_preprocessing(document["preprocessing"]),
        postprocessing=_choice(document["postprocessing"], "postprocessing", POSTPROCESSING),
        metrics={
            _text(key, "a metric's name"): _number(value, f"metrics[{shown(key)}]")
            for key, value in _object(document["metrics"], "metrics").items()
        },
        recipe=None if recipe is None else _object(recipe, "recipe"),
        versions={
            _text(key, "a version's name"): _text(value, f"versions[{shown(key)}]")
            for key, value in _object(document["versions"], "versions").items()
        },
        document=document,
    )
    _check_together(manifest)
    return manifest


def _check_together(manifest: Manifest) -> None:
    """The rules that tie one part of the manifest to another."""
    input_shape, output_shape = manifest.input.shape, manifest.output.shape
    if len(input_shape) < 2 or input_shape[0] != 1:
        raise BundleError(f"inputs[0].shape must be [1, ...]; got {list(input_shape)}")
    if len(output_shape) != 2 or output_shape[0] != 1:
        raise BundleError(f"outputs[0].shape must be [1, classes]; got {list(output_shape)}")
    raw = manifest.preprocessing.shape
    if math.prod(raw) != math.prod(input_shape):
        raise BundleError(
            f"preprocessing.shape must hold as many values as the input's {list(input_shape)}; got {list(raw)}"
        )
    if manifest.labels is not None and len(manifest.labels) != output_shape[1]:
        raise BundleError(f"labels must be one for each of {output_shape[1]} classes; got {len(manifest.labels)}")


def _object(value: Any, where: str, keys: Iterable[str] | None = None) -> dict[str, Any]:
    """A JSON object, with exactly `keys` if they are given."""
    if not isinstance(value, dict):
        raise BundleError(f"{where} must be an object; got {shown(value)}")
    if keys is not None:
        for key in keys:
            if key not in value:
                raise BundleError(f"{where} lacks the key {key!r}")
        for key in value:
            if key not in keys:
                raise BundleError(f"{where} has the unknown key {shown(key)}")
    return value


def _only(value: Any, where: str) -> Any:
    if not isinstance(value, list) or len(value) != 1:
        raise BundleError(f"{where} must be a list of one tensor; got {shown(value)}")
    return value[0]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or _CONTROL.search(value):
        raise BundleError(f"{where} must be text without control characters; got {shown(value)}")
    return value


def _choice(value: Any, where: str, known: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in known:
        raise BundleError(f"{where} must be one of {', '.join(known)}; got {shown(value)}")
    return value


def _integer(value: Any, where: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BundleError(f"{where} must be an integer in [{low}, {high}]; got {shown(value)}")
    return value


def _number(value: Any, where: str) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BundleError(f"{where} must be a number; got {shown(value)}")
    return value


def _shape(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        raise BundleError(f"{where} must be a list of 1 to 8 sizes; got {shown(value)}")
    return tuple(_integer(size, f"{where}[{i}]", 1, MAX_DIM) for i, size in enumerate(value))


def _labels(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise BundleError(f"labels must be a list or null; got {shown(value)}")
    return tuple(_text(label, f"labels[{i}]") for i, label in enumerate(value))


def _member(value: Any, where: str) -> Member:
    fields = _object(value, where, ["sha256", "bytes"])
    digest = fields["sha256"]
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise BundleError(f"{where}.sha256 must be 64 lower-case hex digits; got {shown(digest)}")
    return Member(digest, _integer(fields["bytes"], f"{where}.bytes", 1, MAX_DIM))


def _tensor(value: Any, where: str) -> Tensor:
    fields = _object(value, where, ["name", "shape", "dtype", "scale", "zero_point"])
    dtype = _choice(fields["dtype"], f"{where}.dtype", TENSOR_RANGES)
    scale, zero_point = fields["scale"], fields["zero_point"]
    stored = TENSOR_RANGES[dtype]
    if stored is None:
        if scale is not None or zero_point is not None:
            raise BundleError(
                f"{where}: scale and zero_point must be null for {dtype}; got {shown(scale)} and {shown(zero_point)}"
            )
    else:
        scale = float(_number(scale, f"{where}.scale"))
        if not scale > 0:
            raise BundleError(f"{where}.scale must be > 0; got {scale}")
        zero_point = _integer(zero_point, f"{where}.zero_point", *stored)
    name = _text(fields["name"], f"{where}.name")
    return Tensor(name, _shape(fields["shape"], f"{where}.shape"), dtype, scale, zero_point)


def _preprocessing(value: Any) -> Preprocessing:
    fields = _object(value, "preprocessing", ["dtype", "shape", "scale", "offset"])
    return Preprocessing(
        _choice(fields["dtype"], "preprocessing.dtype", RAW_DTYPES),
        _shape(fields["shape"], "preprocessing.shape"),
        float(_number(fields["scale"], "preprocessing.scale")),
        float(_number(fields["offset"], "preprocessing.offset")),
    )
