"""What errors show of what came: whole where it is short, and never long, deep or slow."""

from __future__ import annotations

from typing import Any

import pytest

from keras_sparse.shown import MOST, cut, shown


def laughs(levels: int) -> Any:
    """A list of ten times the same list, and so on: small, but its `repr` is not."""
    value: Any = ["lol"] * 10
    for _ in range(levels):
        value = [value] * 10
    return value


@pytest.mark.parametrize("value", [None, True, 1, 0.5, "a", (1, 16), ["a", None], {"n": 1, "name": "NofM"}])
def test_what_is_short_is_whole(value: object) -> None:
    assert shown(value) == repr(value)


def test_what_is_long_is_cut_before_it_is_made() -> None:
    ring: list[Any] = []
    ring.append(ring)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    values = [laughs(30), {"a": laughs(30)}, ring, deep, "a" * 10**6, list(range(10**6)), b"x" * 10**6, 10**4000]
    for value in values:
        assert 0 < len(shown(value)) <= MOST
    while isinstance(deep, list):  # or Python's own clean-up nests as deep
        deep = deep[0]


def test_text_is_on_one_line() -> None:
    assert cut("  a\n\tb\u2028c ") == "a b c"
    assert cut("a" * 10**6).startswith("aaa") and len(cut("a" * 10**6)) <= MOST
