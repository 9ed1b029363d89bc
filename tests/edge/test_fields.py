"""Numbers as packed files hold them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.fields import Fields

from keras_sparse.packing.container import number


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_numbers_come_back(values: list[int]) -> None:
    data = b"".join(number(value) for value in values)
    fields = Fields(data)
    assert [fields.take("a number") for _ in values] == values
    assert fields.position == len(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is cut"),
        (b"\x80", "it is cut"),
        (b"\x80\x00", "it must have no more bytes than it needs"),
        (b"\xff\xff\xff\xff\x1f", r"it must be in \[0, 4294967295\]; got 8589934591"),
        (b"\x80\x80\x80\x80\x80\x01", "it must have at most 5 bytes"),
    ],
)
def test_what_is_no_number(data: bytes, message: str) -> None:
    with pytest.raises(PackedError, match=message):
        Fields(data).take("it")
