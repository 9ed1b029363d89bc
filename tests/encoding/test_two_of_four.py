"""The 2:4 form against its definition: every nibble written out, and an independent reading of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.encoding.two_of_four import pack_2of4, unpack_2of4
from keras_sparse.pattern import NofM

DTYPES = ("int8", "float16", "float32")
NIBBLES = {
    (1, 1, 0, 0): 0b0100,
    (1, 0, 1, 0): 0b1000,
    (1, 0, 0, 1): 0b1100,
    (0, 1, 1, 0): 0b1001,
    (0, 1, 0, 1): 0b1101,
    (0, 0, 1, 1): 0b1110,
    (1, 0, 0, 0): 0b1100,
    (0, 1, 0, 0): 0b1101,
    (0, 0, 1, 0): 0b1110,
    (0, 0, 0, 1): 0b1110,
    (0, 0, 0, 0): 0b1110,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("group", "nibble"), NIBBLES.items())
def test_every_group_has_its_nibble(group, nibble, dtype):
    values, metadata = pack_2of4(np.array([group], dtype))
    assert int(metadata[0, 0]) & 0xF == nibble
    assert values.dtype == dtype
    places = nibble & 3, nibble >> 2
    assert values.tolist() == [[group[places[0]], group[places[1]]]]


def test_int8_packs_eight_nibbles_into_an_int32_from_the_lowest_bits():
    row = [*[1, 2, 0, 0], *[0, 0, 3, 4], *[5, 0, 0, 0] * 5, *[0, 6, 0, 7]]
    values, metadata = pack_2of4(np.int8([row]))
    assert (metadata.dtype, metadata.shape) == (np.int32, (1, 1))
    assert metadata[0, 0] == np.uint32(0xDCCCCCE4).view(np.int32)
    assert values.tolist() == [[1, 2, 3, 4, *[5, 0] * 5, 6, 7]]


def test_floats_pack_four_nibbles_into_an_int16_and_fill_with_empty_groups():
    _, metadata = pack_2of4(np.float16([[1, 2, 0, 0] * 5]))
    assert metadata.dtype == np.int16
    assert metadata.view(np.uint16).tolist() == [[0x4444, 0xEEE4]]


def by_the_definition(values, metadata):
    """The dense matrix, read nibble by nibble."""
    bits = 8 * metadata.dtype.itemsize
    rows = []
    for kept, words in zip(values.tolist(), metadata.tolist(), strict=True):
        nibbles = itertools.chain.from_iterable([(w >> s) & 15 for s in range(0, bits, 4)] for w in words)
        row = []
        for pair, nibble in zip(zip(kept[::2], kept[1::2], strict=True), nibbles, strict=False):
            group = [0, 0, 0, 0]
            group[nibble & 3], group[nibble >> 2] = pair
            row += group
        rows.append(row)
    return np.array(rows, values.dtype).reshape(len(values), -1)


@given(st.integers(1, 7), st.integers(1, 21), st.sampled_from(DTYPES), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_what_is_packed_comes_back(rows, groups, dtype, density, seed):
    generator = np.random.default_rng(seed)
    matrix = np.where(generator.random((1, rows, 4 * groups)) < density, generator.normal(0, 60, 4 * groups), 0)
    matrix = np.asarray(matrix * NofM(2, 4).mask(generator.random(matrix.shape), 1.0), dtype)[0]
    values, metadata = pack_2of4(matrix)
    assert values.shape == (rows, 2 * groups)
    np.testing.assert_array_equal(unpack_2of4(values, metadata), matrix)
    np.testing.assert_array_equal(by_the_definition(values, metadata), matrix)
    assert unpack_2of4(values, metadata).dtype == dtype


@pytest.mark.parametrize("shape", [(0, 8), (3, 0), (0, 0)])
def test_a_matrix_of_nothing_comes_back(shape):
    assert unpack_2of4(*pack_2of4(np.zeros(shape, np.int8))).shape == shape


@given(st.integers(1, 5), st.integers(1, 9), st.data())
def test_a_third_non_zero_is_refused_by_row_and_group(rows, groups, data):
    row, group = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, groups - 1))
    matrix = np.zeros((rows, 4 * groups), np.int8)
    matrix[row, 4 * group + 1 : 4 * group + 4] = 1
    with pytest.raises(ValueError, match=rf"1 groups hold more, first row {row}, group {group} \(.*Received: "):
        pack_2of4(matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((2, 6), np.int8), r"cols a multiple of 4. Received: shape \(2, 6\)"),
        (np.zeros(8, np.int8), "takes"),
        (np.zeros((2, 8)), "Received: float64"),
    ],
)
def test_what_has_no_2_of_4_form_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        pack_2of4(matrix)


@pytest.mark.parametrize(
    ("values", "metadata", "message"),
    [
        (np.ones((1, 3), np.int8), np.ones((1, 1), np.int32), "two a group"),
        (np.ones((1, 2), np.int8), np.ones((1, 1), np.int16), "Received: int16"),
        (np.ones((1, 18), np.int8), np.ones((1, 1), np.int32), r"shape \(1, 2\)"),
        (np.ones((2, 2), np.int8), np.int32([[0b1110], [0b0101]]), "row 1, group 0. Received: nibble 0b0101"),
    ],
)
def test_damaged_parts_are_refused(values, metadata, message):
    with pytest.raises(ValueError, match=message):
        unpack_2of4(values, metadata)


def test_a_group_with_nan_comes_back():
    matrix = np.float32([[np.nan, 0, np.inf, 0]])
    np.testing.assert_array_equal(unpack_2of4(*pack_2of4(matrix)), matrix)
