"""The edge bundle's writer; `edge/FORMAT.md` is the contract, `edge/` the reader."""

from __future__ import annotations

import hashlib
import io
import json
import math
import numbers
import os
import re
import stat
import zipfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from keras_sparse_edge.errors import BundleError

from keras_sparse.atomic import write_atomically

FORMAT = "keras-sparse-bundle"
FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 2**20
MAX_MODEL_BYTES = 256 * 2**20
MAX_FLOAT = 3.4028234663852886e38  # float32's largest
MAX_DEPTH = 31  # of a recipe: FORMAT.md's 32 less the manifest around it
TENSOR_DTYPES = ("float32", "int8", "uint8", "int16")
RAW_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")
POSTPROCESSING = ("softmax", "none")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def write_bundle(
    path: str | os.PathLike[str],
    model: bytes,
    *,
    labels: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    postprocessing: str = "none",
    metrics: Mapping[str, float] | None = None,
    recipe: Mapping[str, Any] | None = None,
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write `model` (the bytes of a .tflite file) as an edge bundle; returns its manifest.

    The model has one input `[1, ...]` and one output `[1, classes]`; `labels` names the classes.
    `preprocessing` states one raw item and `input = raw * scale + offset`, in any part; the rest is
    dtype float32, the input's shape without batch, scale 1, offset 0. `postprocessing` is "softmax"
    or "none". `versions` defaults to those installed here. Raises BundleError, and OSError if the
    file cannot be written; then an older file at `path` is as it was.

    ```
    write_bundle(
        "digits.ksb",
        open("digits.tflite", "rb").read(),
        labels=[str(digit) for digit in range(10)],
        preprocessing={"dtype": "uint8", "shape": [28, 28], "scale": 1 / 255, "offset": 0.0},
        postprocessing="softmax",
        metrics={"accuracy": 0.991},
    )
    ```
    """
    if not 0 < len(model) <= MAX_MODEL_BYTES:
        raise BundleError(f"model must have 1 to {MAX_MODEL_BYTES} bytes; got {len(model)}")
    if postprocessing not in POSTPROCESSING:
        raise BundleError(f"postprocessing must be one of {POSTPROCESSING}; got {postprocessing!r}")
    source, target = _tensors(model)
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "members": {"model.tflite": {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}},
        "inputs": [source],
        "outputs": [target],
        "labels": None if labels is None else _labels(labels, target["shape"][1]),
        "preprocessing": _preprocessing(preprocessing or {}, source["shape"]),
        "postprocessing": postprocessing,
        "metrics": {
            _text(name, "a metric's name"): _number(value, f"metrics[{name!r}]")
            for name, value in (metrics or {}).items()
        },
        "recipe": None if recipe is None else _json(dict(recipe), "recipe", MAX_DEPTH),
        "versions": {
            _text(name, "a version's name"): _text(value, f"versions[{name!r}]")
            for name, value in (_installed() if versions is None else versions).items()
        },
    }
    text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    document = f"{text}\n".encode()
    if len(document) > MAX_MANIFEST_BYTES:
        raise BundleError(f"manifest.json must have at most {MAX_MANIFEST_BYTES} bytes; got {len(document)}")
    write_atomically(path, _archive({"manifest.json": document, "model.tflite": model}))
    return manifest


def _archive(members: Mapping[str, bytes]) -> bytes:
    """A zip of `members` that depends on nothing but them: no clock, user or platform."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # Unix, on every platform
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def _tensors(model: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's input and output as the manifest states them."""
    # here and not above: the runtime is only needed by those who write bundles
    from ai_edge_litert.interpreter import Interpreter

    from keras_sparse.exporting.tflite_checked import unpacked

    try:
        unpacked(model)  # what LiteRT may crash at
        interpreter = Interpreter(model_content=model)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"model must be a .tflite file that LiteRT loads: {error}") from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise BundleError(f"model must have one input and one output; got {len(inputs)} and {len(outputs)}")
    source, target = _tensor(inputs[0], "input"), _tensor(outputs[0], "output")
    if len(source["shape"]) < 2 or source["shape"][0] != 1:
        raise BundleError(f"the model's input must be [1, ...]; got {source['shape']}")
    if len(target["shape"]) != 2 or target["shape"][0] != 1:
        raise BundleError(f"the model's output must be [1, classes]; got {target['shape']}")
    return source, target


def _tensor(detail: Mapping[str, Any], where: str) -> dict[str, Any]:
    dtype = np.dtype(detail["dtype"]).name
    if dtype not in TENSOR_DTYPES:
        raise BundleError(f"the model's {where} must be one of {TENSOR_DTYPES}; got {dtype}")
    if -1 in detail["shape_signature"][1:]:
        shape = detail["shape_signature"].tolist()
        raise BundleError(f"only the batch of the model's {where} may be open (-1); got {shape}")
    scales = detail["quantization_parameters"]["scales"].tolist()
    zero_points = detail["quantization_parameters"]["zero_points"].tolist()
    if len(scales) != (0 if dtype == "float32" else 1):
        raise BundleError(f"the model's {where} is {dtype} with {len(scales)} scales")
    return {
        "name": _text(detail["name"], f"the name of the model's {where}"),
        "shape": detail["shape"].tolist(),
        "dtype": dtype,
        "scale": scales[0] if scales else None,
        "zero_point": zero_points[0] if scales else None,
    }


def _labels(labels: Sequence[str], classes: int) -> list[str]:
    if isinstance(labels, str) or len(labels) != classes:
        raise BundleError(f"labels must be one for each of {classes} classes; got {labels!r}")
    return [_text(label, f"labels[{i}]") for i, label in enumerate(labels)]


def _preprocessing(given: Mapping[str, Any], input_shape: list[int]) -> dict[str, Any]:
    step: dict[str, Any] = {
        "dtype": "float32",
        "shape": input_shape[1:],
        "scale": 1.0,
        "offset": 0.0,
    }
    unknown = sorted(str(key) for key in given if key not in step)
    if unknown:
        raise BundleError(f"preprocessing has the keys {sorted(step)}; got also {unknown}")
    step.update(given)
    dtype, shape = step["dtype"], list(step["shape"])
    if not isinstance(dtype, str) or dtype not in RAW_DTYPES:
        raise BundleError(f"preprocessing dtype must be one of {RAW_DTYPES}; got {dtype!r}")
    if not all(isinstance(size, numbers.Integral) and int(size) > 0 for size in shape):
        raise BundleError(f"preprocessing shape must be of positive integers; got {shape}")
    shape = [int(size) for size in shape]
    if not 1 <= len(shape) <= 8 or math.prod(shape) != math.prod(input_shape):
        raise BundleError(f"preprocessing shape must hold as many values as the input's {input_shape}; got {shape}")
    scale = float(_number(step["scale"], "preprocessing scale"))
    offset = float(_number(step["offset"], "preprocessing offset"))
    return {"dtype": dtype, "shape": shape, "scale": scale, "offset": offset}


def _installed() -> dict[str, str]:
    """The versions of what makes and checks a model, as far as it is installed here."""
    found = {}
    for name in ("ai-edge-litert", "keras", "keras-sparse", "tensorflow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or _CONTROL.search(value):
        raise BundleError(f"{where} must be text without control characters; got {value!r}")
    return value


def _number(value: object, where: str) -> int | float:
    """A finite number as JSON holds it; NumPy's are taken too."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise BundleError(f"{where} must be a number; got {value!r}")
    if isinstance(value, numbers.Integral):
        integer = int(value)
        if not -(2**63) <= integer < 2**63:
            raise BundleError(f"{where} must fit int64; got {integer}")
        return integer
    if not abs(float(value)) <= MAX_FLOAT:  # written so that NaN fails too
        raise BundleError(f"{where} must be finite float32; got {value}")
    return float(value)


def _json(value: object, where: str, depth: int) -> Any:
    """`value` as JSON holds it: tuples are lists; what JSON would change otherwise is refused."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        if re.search("[\ud800-\udfff]", value):
            raise BundleError(f"{where} must be text that UTF-8 can hold; got {value!r}")
        return value
    if not isinstance(value, Mapping | list | tuple):
        return _number(value, where)
    if depth == 0:
        raise BundleError(f"recipe must nest at most {MAX_DEPTH} deep")
    if not isinstance(value, Mapping):
        return [_json(child, f"{where}[{i}]", depth - 1) for i, child in enumerate(value)]
    for key in value:
        if not isinstance(key, str):
            raise BundleError(f"{where} must have text as keys; got {key!r}")
    return {_json(key, where, depth): _json(child, f"{where}[{key!r}]", depth - 1) for key, child in value.items()}
