"""JSON from strangers: finite numbers, int64, each key once, bounded nesting."""

from __future__ import annotations

import json
from typing import Any

from keras_sparse_edge.errors import BundleError, shown

MAX_DEPTH = 32
MAX_FLOAT = 3.4028234663852886e38  # float32's largest


def load(data: bytes) -> Any:
    """The value in UTF-8 JSON `data`; BundleError says which rule it breaks.

    >>> load(b'{"a": [1, 2.5]}')
    {'a': [1, 2.5]}
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_int64,
            object_pairs_hook=_unique,
        )
    except BundleError:
        raise
    except (ValueError, RecursionError) as error:
        raise BundleError(f"manifest.json is not UTF-8 JSON: {error}") from error
    _check_depth(value, MAX_DEPTH)
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not abs(value) <= MAX_FLOAT:  # written so that NaN fails too
        raise BundleError(f"numbers in manifest.json must be finite float32; got {shown(text)}")
    return value


def _int64(text: str) -> int:
    # the length first: Python refuses to convert very long ones with an error of its own
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise BundleError(f"integers in manifest.json must fit int64; got {shown(text)}")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise BundleError(f"manifest.json has the key {shown(key)} twice")
        result[key] = value
    return result


def _check_depth(value: object, left: int) -> None:
    if isinstance(value, dict | list):
        if left == 0:
            raise BundleError(f"manifest.json must nest at most {MAX_DEPTH} deep")
        for child in value.values() if isinstance(value, dict) else value:
            _check_depth(child, left - 1)
