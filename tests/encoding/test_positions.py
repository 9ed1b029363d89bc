"""Positions: the form that is found, and that its symbols give the flags again."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays
from keras_sparse_edge.spans import ORDERS
from keras_sparse_edge.weights import mask_table

from keras_sparse.encoding import positions
from keras_sparse.pattern import Block, NofM

SHAPES = st.lists(st.integers(1, 20), min_size=1, max_size=4).map(tuple)


def kept(pattern, rows, columns, seed=0):
    scores = np.random.default_rng(seed).random((1, rows, columns)).astype(np.float32)
    return pattern.mask(scores, 1.0)[0].astype(bool)


@given(SHAPES.flatmap(lambda shape: arrays.arrays(bool, shape)))
def test_flags_come_back(nonzero):
    found = positions.find(nonzero)
    if found is None:
        return
    place = found.positions
    table, symbols = mask_table(place), positions.symbols(found)
    np.testing.assert_array_equal(
        table[symbols].reshape(*place.symbols[:2], -1)[..., : found.flags.shape[2]], found.flags
    )
    items = positions.items(found)
    assert np.count_nonzero(items) == found.items
    view = nonzero.reshape(place.shape).transpose(ORDERS[place.order])
    assert not (view & ~items).any()


@pytest.mark.parametrize(
    ("shape", "axis", "pattern", "unit", "most"),
    [
        ((64, 96), -1, NofM(2, 4), 4, 2),  # (out, in): .tflite
        ((64, 96), 0, NofM(1, 4), 4, 1),  # (in, out): .onnx
        ((32, 3, 3, 16), -1, NofM(2, 4), 4, 2),  # OHWI
        ((32, 16, 3, 3), 1, NofM(4, 8), 8, 4),  # OIHW
        ((32, 64), -1, NofM(1, 16), 16, 1),
    ],
)
def test_n_of_m_is_found_along_the_inputs(shape, axis, pattern, unit, most):
    moved = np.moveaxis(np.empty(shape), axis, -1).shape
    rows = math.prod(moved[:-1])
    nonzero = np.moveaxis(kept(pattern, rows, moved[-1]).reshape(moved), -1, axis)
    found = positions.find(nonzero)
    assert (found.positions.unit, found.positions.most) == (unit, most)
    # log2 C(M, N) bits for each group
    assert found.bits == pytest.approx(nonzero.size // unit * math.log2(math.comb(unit, most)))
    assert found.bound(np.count_nonzero(nonzero)) == found.bits


@pytest.mark.parametrize(("block", "shape"), [((1, 16), (40, 160)), ((4, 1), (64, 50)), ((4, 4), (64, 64))])
def test_blocks_are_found(block, shape):
    nonzero = kept(Block(block, 0.75), *shape)
    found = positions.find(nonzero)
    sizes = (found.positions.rows, found.positions.columns)
    assert sizes in (block, block[::-1])  # a block of rows is one of columns in the other axis order
    assert found.items == np.count_nonzero(nonzero)
    blocks = nonzero.size // math.prod(block)
    assert found.bound(found.items) == pytest.approx(math.log2(math.comb(blocks, found.items // math.prod(block))))


def test_anywhere_costs_the_entropy():
    nonzero = np.random.default_rng(0).random((200, 320)) < 0.1
    found = positions.find(nonzero)
    count = np.count_nonzero(nonzero)
    assert found.positions.rows * found.positions.columns == 1
    assert found.bits == pytest.approx(math.log2(math.comb(nonzero.size, count)), rel=0.002)
    model = positions.model(found)
    assert model.bits == pytest.approx(found.bits, rel=0.004)
