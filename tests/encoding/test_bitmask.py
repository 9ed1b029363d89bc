"""Bitmask and values: exact bytes, every bit pattern back, what does not go together refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.encoding import bitmask

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "uint32", "int64", "bool")


def bits(tensor: np.ndarray) -> bytes:
    return np.ascontiguousarray(tensor).tobytes()


def test_exact_bytes() -> None:
    tensor = np.array([[0, 7, 0, 0, -1], [0, 0, 0, 0, 3]], np.int8)
    mask, values = bitmask.encode(tensor)
    assert bits(mask) == bytes([0b00010010, 0b00000010])
    assert bits(values) == b"\x07\xff\x03"
    assert bits(bitmask.decode(mask, values, (2, 5))) == bits(tensor)


@pytest.mark.parametrize(
    ("tensor", "mask", "values"),
    [
        (np.float32([-0.0, 0.0]), b"\x01", b"\x00\x00\x00\x80"),
        (np.array([0x7FC0_0001, 0, 0xFF80_0001], np.uint32).view(np.float32), b"\x05", b"\x01\0\xc0\x7f\x01\0\x80\xff"),
        (np.float16(1.0), b"\x01", b"\x00\x3c"),
        (np.float16(0.0), b"\x00", b""),
        (np.zeros((0, 3), np.float32), b"", b""),
        (np.array([True, False] * 4 + [True]), b"\x55\x01", b"\x01" * 5),
    ],
)
def test_what_is_not_a_number_is_kept_bit_for_bit(tensor: Any, mask: bytes, values: bytes) -> None:
    tensor = np.asarray(tensor)
    found = bitmask.encode(tensor)
    assert (bits(found[0]), bits(found[1])) == (mask, values)
    assert bitmask.encoded_bytes(tensor) == len(mask) + len(values)
    back = bitmask.decode(*found, tensor.shape)
    assert (back.dtype, back.shape, bits(back)) == (tensor.dtype, tensor.shape, bits(tensor))


@given(st.data())
def test_any_tensor_comes_back(data: st.DataObject) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    shape = tuple(data.draw(st.lists(st.integers(0, 9), max_size=4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    size = int(np.prod(shape, dtype=int))
    top = 2 if dtype.kind == "b" else 256
    raw = rng.integers(0, top, (size, dtype.itemsize), dtype=np.uint8)
    raw[rng.random(size) < data.draw(st.floats(0, 1))] = 0
    tensor = raw.reshape(-1).view(dtype).reshape(shape)
    mask, values = bitmask.encode(tensor)
    assert len(mask) == -(-size // 8) and len(values) == np.count_nonzero(raw.any(axis=1))
    assert mask.nbytes + values.nbytes == bitmask.encoded_bytes(tensor)
    back = bitmask.decode(mask, values, shape)
    assert (back.dtype, back.shape, bits(back)) == (dtype, shape, bits(tensor))


def test_other_memory_orders() -> None:
    tensor = np.arange(24, dtype=np.float32).reshape(4, 6)
    for each in (tensor.T, np.asfortranarray(tensor), tensor[::2, ::-1]):
        np.testing.assert_array_equal(bitmask.decode(*bitmask.encode(each), each.shape), each)


@pytest.mark.parametrize(
    ("mask", "values", "shape", "message"),
    [
        ([1], [1.0], (9,), "A mask of 2 bytes was required"),
        ([1, 0], [1.0], (8,), "A mask of 1 bytes was required"),
        ([8], [1.0], (3,), "bits set after its last element, number 2"),
        ([3], [1.0], (3,), "keeps 2 values"),
        ([1], [1.0, 2.0], (3,), "keeps 1 values"),
        ([1], [0.0], (3,), "is zero"),
        ([1], [1.0], (-3, -1), "not negative"),
    ],
)
def test_what_does_not_go_together(mask: Any, values: Any, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bitmask.decode(np.array(mask, np.uint8), np.array(values, np.float32), shape)
    with pytest.raises(ValueError, match="Received: int32"):
        bitmask.decode(np.array([1], np.int32), np.float32([1]), (3,))
