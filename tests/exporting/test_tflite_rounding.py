"""Bounds of what kernels round to: literal values, and the arithmetic of each way of rounding in whole numbers."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.exporting import tflite_rounding as rounding

ACTIVATIONS = schema.ActivationFunctionType


def certain(value, multiplier, zero=0):
    lowest, highest = rounding.requantized(np.array([value]), np.array([value]), np.array([multiplier]), zero)
    return [int(each) for each in range(lowest[0], highest[0] + 1)]


@pytest.mark.parametrize(
    ("value", "multiplier", "zero", "levels"),
    [
        (1000, 0.001, 0, [1]),
        (1500, 0.001, 0, [1, 2]),  # a tie
        (1489, 0.001, 0, [1, 2]),  # so near a tie that a kernel may round it up
        (1480, 0.001, 0, [1]),
        (-1500, 0.001, 0, [-2, -1]),
        (0, 0.9, 17, [17]),  # zero is zero in every kernel, whatever the multiplier
        (10, 0.9, 0, [8, 9, 10]),
        (10**6, 0.001, 0, [127]),
        (-(10**6), 0.001, 5, [-128]),
        (10**9, 2.0**-31, 0, [-1, 0, 1]),  # flushed to zero, or not
    ],
)
def test_levels_that_an_accumulator_may_become(value, multiplier, zero, levels):
    assert certain(value, multiplier, zero) == levels


@given(st.integers(-(2**30), 2**30), st.floats(2.0**-20, 0.9))
def test_no_way_of_rounding_leaves_the_levels(value, multiplier):
    lowest, highest = rounding.requantized(np.array([value]), np.array([value]), np.array([multiplier]), 3)
    for made in rounding.multiplied(value, multiplier):
        assert lowest[0] <= np.clip(made + 3, -128, 127) <= highest[0]


@given(st.integers(-(2**20), 2**20), st.floats(2.0**-15, 1.9))
def test_all_ways_of_rounding_are_near_the_product(value, multiplier):
    assert all(abs(made - value * multiplier) <= 1.01 for made in rounding.multiplied(value, multiplier))


def test_a_tie_after_a_rounding_goes_either_way():
    # -1152 x 0.112454 = -129.55: rounded to eighths it is -129.5. Both are seen in one run of LiteRT's MEAN.
    assert rounding.multiplied(-1152, 0.112454) == {-130, -129}


def test_accumulators_that_do_not_fit_are_found():
    low, high = np.array([-(2.0**31), -(2.0**31) - 1, 0, 0]), np.array([0, 0, 2.0**31 - 1, 2.0**30])
    assert rounding.overflows(low, high, np.ones(4) * 0.1).tolist() == [False, True, False, False]
    assert rounding.overflows(low[3:], high[3:], np.array([3.0])).tolist() == [True]


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (ACTIVATIONS.NONE, (-128, 127)),
        (ACTIVATIONS.RELU, (-28, 127)),
        (ACTIVATIONS.RELU6, (-28, 92)),
        (ACTIVATIONS.RELU_N1_TO_1, (-48, -8)),
    ],
)
def test_activations_limit_levels(activation, expected):
    made = rounding.activated(np.array([-128]), np.array([127]), activation, 0.05, -28)
    assert tuple(int(each[0]) for each in made) == expected


def test_a_limit_near_a_tie_may_be_either_level():
    lowest, highest = rounding.activated(np.array([120]), np.array([127]), ACTIVATIONS.RELU6, 6 / 100.495, 0)
    assert (lowest[0], highest[0]) == (100, 101)
