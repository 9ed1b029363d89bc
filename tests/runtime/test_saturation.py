"""Sums of two products in 16 bits: literal cases, and one pair after another as the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_sparse.int8 import REDUCED_MAX
from keras_sparse.runtime import saturation


def one_by_one(inputs, weights):
    """The instruction's own words: two neighbouring products, their sum cut off, all sums added."""
    out = np.zeros((len(inputs), weights.shape[1]), np.int64)
    for row, x in enumerate(inputs.astype(int)):
        for column, w in enumerate(weights.T.astype(int)):
            products = [*(x * w), 0]
            pairs = zip(products[0 : len(x) + 1 : 2], products[1 : len(x) + 1 : 2], strict=False)
            out[row, column] = sum(max(-32768, min(32767, a + b)) for a, b in pairs)
    return out


@pytest.mark.parametrize(
    ("x", "w", "wanted"),
    [
        ([255, 255], [127, 127], 32767),
        ([255, 255], [-127, -127], -32768),
        ([255, 255], [127, -127], 0),
        ([255, 255], [64, 64], 32640),
        ([255, 255], [65, 64], 32767),
        ([255], [127], 32385),
        ([0, 255, 255], [127, 127, 127], 64770),  # the third one has no neighbour
        ([255, 255, 255, 255], [127, 127, -127, -127], -1),
    ],
)
def test_literal_sums(x, w, wanted):
    assert saturation.product(np.uint8([x]), np.int8([w]).T).tolist() == [[wanted]]


matrices = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(0, 5), st.integers(1, 19), st.integers(1, 7), st.sampled_from([4, 60, 127]))
def test_sums_are_those_of_the_instruction(random, rows, inputs, outputs, largest):
    x = random.choice([0, 1, 200, 255], (rows, inputs)).astype(np.uint8)
    w = random.integers(-largest, largest + 1, (inputs, outputs)).astype(np.int8)
    np.testing.assert_array_equal(saturation.product(x, w), one_by_one(x, w))


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(1, 9), st.integers(1, 5))
def test_pairs_are_found_where_some_input_overflows(random, inputs, outputs):
    w = random.integers(-127, 128, (inputs, outputs)).astype(np.int8)
    found = set(zip(*(each.tolist() for each in saturation.overflowing(w)), strict=True))
    for pair in range(inputs // 2):
        for output in range(outputs):
            two = w[2 * pair : 2 * pair + 2, output : output + 1]
            corners = np.uint8([[0, 255], [255, 0], [255, 255]])
            exact = corners.astype(int) @ two.astype(int)
            assert ((pair, output) in found) == bool((one_by_one(corners, two) != exact).any())


def test_weights_of_seven_bits_never_overflow():
    w = np.array(np.meshgrid(*[np.arange(-REDUCED_MAX, REDUCED_MAX + 1)] * 2), np.int8).reshape(2, -1)
    assert len(saturation.overflowing(w)[0]) == 0
    assert len(saturation.overflowing(np.where(w == REDUCED_MAX, REDUCED_MAX + 1, w))[0]) > 0


def test_many_rows_are_computed_in_parts(monkeypatch):
    random = np.random.default_rng(0)
    x, w = random.integers(0, 256, (50, 24)).astype(np.uint8), random.integers(-127, 128, (24, 9)).astype(np.int8)
    whole = saturation.product(x, w)
    monkeypatch.setattr(saturation, "CHUNK", 100)
    np.testing.assert_array_equal(saturation.product(x, w), whole)
