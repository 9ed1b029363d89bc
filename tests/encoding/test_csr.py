"""Compressed sparse rows, of values and of blocks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_sparse.encoding import csr

BLOCKS = st.tuples(st.sampled_from([1, 2, 3, 4, 16]), st.sampled_from([1, 2, 4, 5, 16]))


def test_single_values_literally() -> None:
    made = csr.encode(np.int8([[0, 7, 0], [0, 0, 0], [-1, 0, 2]]))
    assert made.segments.tolist() == [0, 1, 1, 3]
    assert made.indices.tolist() == [1, 0, 2]
    assert made.data.ravel().tolist() == [7, -1, 2]
    assert (made.segments.dtype, made.indices.dtype, made.data.dtype) == (np.uint8, np.uint8, np.int8)
    assert made.nbytes == 4 + 3 + 3


def test_blocks_literally() -> None:
    values = np.int8([[0, 0, 1, 2], [0, 0, 3, 0], [5, 0, 0, 0], [0, 6, 0, 0]])
    made = csr.encode(values, (2, 2))
    assert made.segments.tolist() == [0, 1, 2]
    assert made.indices.tolist() == [1, 0]
    assert made.data.tolist() == [[[1, 2], [3, 0]], [[5, 0], [0, 6]]]


def test_zeros_alone_have_one_block() -> None:
    made = csr.encode(np.zeros((2, 2, 6), np.int8), (2, 3))
    assert (made.segments.tolist(), made.indices.tolist(), made.data.tolist()) == ([0, 1, 1], [0], [[[0] * 3] * 2])
    assert not csr.decode(made).any()


def test_kernel_positions_are_rows_of_their_own() -> None:
    values = np.zeros((4, 1, 2, 3), np.int8)
    values[:2, 0, 1, 2] = 8, 9
    made = csr.encode(values, (2, 1))
    assert made.segments.tolist() == [0, 0, 1, 1, 1]
    assert made.indices.tolist() == [2]
    assert made.data.tolist() == [[[8], [9]]]


@pytest.mark.parametrize(("size", "dtype"), [(255, np.uint8), (256, np.uint8), (257, np.uint16), (65537, np.int32)])
def test_arrays_are_as_narrow_as_their_largest_value(size: int, dtype: type) -> None:
    values = np.zeros((1, size), np.int8)
    values[0, -1] = 1
    assert csr.encode(values).indices.dtype == dtype


def reference(made: csr.CSR) -> np.ndarray:
    """What the arrays mean, one value at a time."""
    rows, cols = made.block
    dense = np.zeros(made.shape, made.data.dtype)
    lines = [(o, *m) for o in range(made.shape[0] // rows) for m in np.ndindex(*made.shape[1:-1])]
    for line, (first, *middle) in enumerate(lines):
        for k in range(int(made.segments[line]), int(made.segments[line + 1])):
            for r in range(rows):
                for c in range(cols):
                    dense[(first * rows + r, *middle, int(made.indices[k]) * cols + c)] = made.data[k, r, c]
    return dense


@given(st.data(), BLOCKS)
def test_any_tensor_comes_back(data: st.DataObject, block: tuple[int, int]) -> None:
    first, last = data.draw(st.integers(1, 4)) * block[0], data.draw(st.integers(1, 5)) * block[1]
    middle = data.draw(st.lists(st.integers(1, 3), max_size=2))
    dtype = data.draw(st.sampled_from([np.int8, np.float16, np.float32]))
    zeros = arrays.arrays(np.int8, (first, *middle, last), elements=st.sampled_from([0, 0, 0, 0, 1, -3, 127]))
    values = data.draw(zeros).astype(dtype)
    made = csr.encode(values, block)
    np.testing.assert_array_equal(csr.decode(made), values)
    np.testing.assert_array_equal(reference(made), values)
    assert made.data.any(axis=(1, 2)).all() or not values.any()


def test_negative_zero_is_zero_and_nan_is_not() -> None:
    made = csr.encode(np.float32([[-0.0, np.nan]]))
    assert made.indices.tolist() == [1]


@pytest.mark.parametrize(("shape", "block"), [((4, 6), (1, 4)), ((3, 8), (2, 1)), ((8,), (1, 1))])
def test_what_sticks_out_of_blocks_is_refused(shape: tuple[int, ...], block: tuple[int, int]) -> None:
    assert not csr.fits(shape, block)
    with pytest.raises(ValueError, match="multiples of"):
        csr.encode(np.zeros(shape, np.int8), block)


@pytest.mark.parametrize(
    "change",
    [
        {"segments": np.uint8([0, 1])},
        {"segments": np.uint8([1, 1, 2])},
        {"segments": np.uint8([0, 3, 2])},
        {"segments": np.uint8([0, 1, 3])},
        {"indices": np.uint8([0, 4])},
        {"indices": np.uint8([0, 1, 1])},
        {"data": np.zeros((3, 1, 1), np.int8)},
        {"shape": (2, 5), "block": (1, 2)},
    ],
)
def test_arrays_that_say_nothing_are_refused(change: dict[str, object]) -> None:
    made = csr.encode(np.int8([[1, 0, 0, 0], [0, 0, 0, 2]]))
    with pytest.raises(ValueError):
        csr.decode(dataclasses.replace(made, **change))


def test_indices_that_do_not_rise_are_refused() -> None:
    made = csr.encode(np.int8([[1, 2, 0, 0]]))
    with pytest.raises(ValueError, match="rising within a row"):
        csr.decode(dataclasses.replace(made, indices=np.uint8([1, 1])))
