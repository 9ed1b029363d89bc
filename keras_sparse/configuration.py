"""The configuration of a saved Keras model: JSON from strangers, judged before anything is made of it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from keras_sparse.shown import cut, shown

MAX_BYTES = 1 << 26
MAX_DEPTH = 200

CODE = {"__lambda__", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod"}
CODE |= {"InstanceProperty", "ResidualWrapper", "TFSMLayer", "TorchModuleWrapper", "CompositeTensor", "TypeSpec"}
"""Classes whose configuration is Python's bytecode, the name of any function or operation, or another model's file."""

VALUES = {"__tuple__", "__ellipsis__", "__bytes__", "__numpy__", "__tensor__", "TensorShape"}
"""Classes of plain values."""

FILES = ("vocabulary", "idf_weights")
"""Arguments of layers that are lists in a configuration; a string is the path of a file, on this machine or another."""


def parse(content: str | bytes) -> Any:
    """The value of a configuration in JSON, each key once.

    Raises:
        ValueError: it is not JSON, too long or too deep, or has a key twice.

    >>> parse('{"class_name": "Dense", "class_name": "Lambda"}')
    Traceback (most recent call last):
    ValueError: the key 'class_name' is there twice
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"a configuration of at most {MAX_BYTES} bytes was required. Received: {len(content)}")
    try:
        return json.loads(content, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError(f"a configuration nests at most {MAX_DEPTH} deep") from error


def archived(path: str | Path) -> Any:
    """The configuration in a `.keras` file.

    Raises:
        KeyError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error: what zipfile and `parse` raise.
    """
    with zipfile.ZipFile(path) as archive:
        size = archive.getinfo("config.json").file_size  # what it says of itself; no more is read
        if size > MAX_BYTES:
            raise ValueError(f"config.json of at most {MAX_BYTES} bytes was required. Received: {size}")
        return parse(archive.read("config.json"))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} is there twice")
        found[key] = value
    return found


def check(config: Any, known: Callable[[dict[str, Any]], bool], code: Collection[str] = CODE) -> None:
    """Refuses what holds code, and what is not known, in a configuration or anywhere inside it.

    Args:
        known: whether the class or function that a description names is one that may be made.
        code: the names of classes that hold code.

    Raises:
        ValueError: names the layer and its class.

    >>> check({"class_name": "Dense", "config": {"name": "d", "units": 2}}, lambda each: True)
    >>> check({"class_name": "TFOpLambda", "config": {"name": "t"}}, lambda each: True)
    Traceback (most recent call last):
    ValueError: layer 't' (TFOpLambda) holds code or names an operation, and nothing of a file is run. ...
    """
    for layer, each in _described(config):
        kind, inner = each["class_name"], each.get("config")
        outer = layer.get("config")
        named = f"layer {shown(outer.get('name') if isinstance(outer, dict) else None)} ({_name(layer)})"
        if each is not layer:
            named += f": {_name(each)}"
        if not isinstance(kind, str):
            raise ValueError(f"{named}: the name of a class is a string")
        if kind in code or _has_bytecode(each):
            raise ValueError(
                f"{named} holds code or names an operation, and nothing of a file is run. Put a layer of Keras in its "
                "place, such as Add, Rescaling or ReLU, or give the model itself"
            )
        if kind not in VALUES and not known(each):
            raise ValueError(
                f"{named} is of a class that is not known. A class of your own has to be registered with the Keras "
                "that loads the file"
            )
        for key in FILES:
            if isinstance(inner, dict) and isinstance(inner.get(key), str):
                raise ValueError(f"{named} reads {key} from another file. Received: {key}={shown(inner[key])}")


def _name(described: dict[str, Any]) -> str:
    kind = described.get("class_name")
    return cut(kind) if isinstance(kind, str) else shown(kind)


def _described(config: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(the layer that it is, or is in; description) of every object, in the order of the text."""
    waiting: list[tuple[dict[str, Any], Any, int]] = [({}, config, 0)]
    while waiting:
        layer, value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"a configuration nests at most {MAX_DEPTH} deep")
        if isinstance(value, dict) and "class_name" in value:
            inner = value.get("config")
            if not layer or (isinstance(inner, dict) and isinstance(inner.get("name"), str)):
                layer = value
            yield layer, value
        if isinstance(value, dict | list):
            children = list(value.values()) if isinstance(value, dict) else value
            waiting += [(layer, each, depth + 1) for each in reversed(children)]


def _has_bytecode(described: dict[str, Any]) -> bool:
    """Whether a Keras 2 configuration says that one of its values is a function's bytecode, whatever its class."""
    inner = described.get("config")
    return isinstance(inner, dict) and any(key.endswith("_type") and inner[key] in ("lambda", "raw") for key in inner)
