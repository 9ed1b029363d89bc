"""Models: from counts to levels and back to frequencies."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from keras_sparse_edge import histogram as decoding
from keras_sparse_edge.rans import TOTAL, Decoder

from keras_sparse.encoding.histogram import fit_groups, fit_values
from keras_sparse.encoding.rans import cost, encode

COUNTS = st.lists(st.integers(0, 10**6) | st.just(0), min_size=256, max_size=256).map(lambda c: np.array(c, np.int64))


@given(COUNTS, st.none() | st.integers(0, 255), st.none() | st.integers(0, 255))
def test_every_symbol_that_comes_has_a_frequency_and_the_reader_the_same_ones(counts, peak, never):
    if never is not None:
        counts[never] = 0
    (model,) = fit_values(counts[None], peak, never)
    assert model.frequencies.sum() == TOTAL
    assert (model.frequencies[counts > 0] > 0).all()
    decoder = Decoder(*encode([model.run], 1))
    levels = decoding.take_levels(decoder, model.levels.size)
    np.testing.assert_array_equal(levels, model.levels)
    again = decoding.spread(levels, model.low, model.high, peak, model.spacing, never)
    np.testing.assert_array_equal(again, model.frequencies)


def test_many_samples_of_a_smooth_distribution_cost_little_more_than_their_entropy():
    rng = np.random.default_rng(0)
    for size, excess in ((3000, 0.015), (10**6, 0.002)):
        counts = np.bincount(np.clip(np.rint(rng.normal(128, 40, size)), 1, 255).astype(int), minlength=256)
        (model,) = fit_values(counts[None], None, None)
        come = counts[counts > 0]
        entropy = (come * np.log2(size / come)).sum()
        assert entropy < model.bits < (1 + excess) * entropy
        if size == 3000:
            assert model.spacing > 1


def test_groups_share_a_spacing_and_the_ends():
    counts = np.zeros((2, 256), np.int64)
    counts[0, 100:110], counts[1, 90:130] = 50, 9
    wide, narrow = fit_values(counts[::-1], None, None)
    assert (wide.spacing, wide.low, wide.high) == (narrow.spacing, narrow.low, narrow.high)
    assert (narrow.low, narrow.high) == (90, 129)
    assert cost(counts[0], narrow.frequencies) < cost(counts[0], wide.frequencies)


def test_a_peak_does_not_spread():
    counts = np.full(256, 10)
    counts[128] = 10_000
    (with_peak,) = fit_values(counts[None], 128, None)
    (without,) = fit_values(counts[None], None, None)
    assert with_peak.bits < without.bits
    assert with_peak.spacing == 16


def test_masks_with_as_many_flags_are_as_frequent():
    model = fit_groups(np.array([0, 0, 600]), np.array([1, 4, 6]))
    np.testing.assert_array_equal(model.frequencies > 0, [False] * 5 + [True] * 6)
    assert model.frequencies[6:].tolist() == [TOTAL // 6] * 5
    assert model.bits == pytest.approx(600 * np.log2(6), rel=0.02)


def test_nothing_comes():
    (model,) = fit_values(np.zeros((1, 256), np.int64), None, None)
    assert model.frequencies[0] == TOTAL
    assert fit_groups(np.zeros(2, np.int64), np.array([1, 8])).frequencies.sum() == TOTAL
