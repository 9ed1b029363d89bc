"""Which zeros: exact counts, ties, ramps and odd sizes, for every pattern that YAML knows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.pattern import Block, NofM, Pattern, RankedPattern, Unstructured, count, keep_highest
from keras_sparse.recipe import PATTERNS, _construct

EXAMPLES: dict[str, st.SearchStrategy[Pattern]] = {
    "Unstructured": st.builds(Unstructured, st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])),
    "Block": st.builds(
        Block,
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.75, 0.9, 1.0]),
    ),
    "NofM": st.integers(1, 9).flatmap(lambda m: st.builds(NofM, st.integers(1, m), st.just(m))),
}
patterns = st.one_of(*EXAMPLES.values())
ranked = st.one_of(EXAMPLES["Unstructured"], EXAMPLES["Block"])
shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 11))
progresses = st.sampled_from([0.0, 0.001, 0.1, 0.25, 1 / 3, 0.5, 0.6, 0.7, 0.875, 0.99, 1.0]) | st.floats(0.0, 1.0)
seeds = st.integers(0, 2**32 - 1)


def distinct(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Weights of both signs, no two of the same magnitude, none zero."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    return ((rng.permutation(size) + 1) * rng.choice([-1, 1], size)).reshape(shape).astype(np.float32)


def tied(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Scores of few values, zeros among them."""
    return np.random.default_rng(seed).integers(0, 3, shape).astype(np.float32)


def test_every_pattern_has_examples() -> None:
    assert set(PATTERNS) == set(EXAMPLES), "a new pattern needs a row in EXAMPLES"


# What holds for every pattern


@given(patterns, shapes, progresses, seeds, st.booleans())
def test_a_mask_is_boolean_and_of_the_same_shape(
    pattern: Pattern, shape: tuple[int, int, int], progress: float, seed: int, ties: bool
) -> None:
    scores = tied(shape, seed) if ties else np.abs(distinct(shape, seed))
    before = scores.copy()
    mask = pattern.mask(scores, progress)
    assert (mask.dtype, mask.shape) == (np.dtype(bool), shape)
    np.testing.assert_array_equal(scores, before)


@given(patterns, shapes, seeds)
def test_at_progress_0_all_stays(pattern: Pattern, shape: tuple[int, int, int], seed: int) -> None:
    assert pattern.mask(np.abs(distinct(shape, seed)), 0.0).all()
    assert pattern.mask(np.zeros(shape, np.float32), 0.0).all()


@given(patterns, shapes, seeds, st.lists(progresses, min_size=2, max_size=6), st.booleans())
def test_zeros_only_grow_with_progress(
    pattern: Pattern, shape: tuple[int, int, int], seed: int, progress: list[float], ties: bool
) -> None:
    """What is zero at one progress is zero at every later one, where the scores are the same."""
    scores = tied(shape, seed) if ties else np.abs(distinct(shape, seed))
    masks = [pattern.mask(scores, each) for each in sorted(progress)]
    for earlier, later in itertools.pairwise(masks):
        assert not (later & ~earlier).any()


@given(patterns, shapes, seeds, st.lists(progresses, min_size=1, max_size=4))
def test_pruned_weights_stay_pruned(
    pattern: Pattern, shape: tuple[int, int, int], seed: int, progress: list[float]
) -> None:
    """In training, what was masked is zero at the next update, and must not come back."""
    weights = distinct(shape, seed)
    for each in sorted(progress):
        mask = pattern.mask(np.abs(weights), each)
        assert not (mask & (weights == 0)).any()
        weights = weights * mask
        np.testing.assert_array_equal(pattern.mask(np.abs(weights), each), mask)  # made again, it is the same


@given(patterns, shapes, seeds, st.booleans())
def test_a_finished_mask_makes_no_violation(
    pattern: Pattern, shape: tuple[int, int, int], seed: int, ties: bool
) -> None:
    weights = tied(shape, seed) if ties else distinct(shape, seed)
    assert pattern.violation(weights * pattern.mask(np.abs(weights), 1.0)) is None
    assert pattern.violation(np.zeros(shape, np.float32)) is None


@given(patterns, shapes, seeds, st.data())
def test_one_weight_brought_back_is_a_violation(
    pattern: Pattern, shape: tuple[int, int, int], seed: int, data: st.DataObject
) -> None:
    weights = distinct(shape, seed)
    mask = pattern.mask(np.abs(weights), 1.0)
    pruned = np.argwhere(~mask)
    if not len(pruned):
        assert pattern.violation(weights) is None  # nothing was asked for
        return
    assert pattern.violation(weights)
    broken = weights * mask
    place = tuple(pruned[data.draw(st.integers(0, len(pruned) - 1))])
    broken[place] = -1e-30
    assert isinstance(pattern.violation(broken), str)


@given(patterns, shapes, progresses, seeds)
def test_the_same_scores_give_the_same_mask(
    pattern: Pattern, shape: tuple[int, int, int], progress: float, seed: int
) -> None:
    scores = tied(shape, seed)
    np.testing.assert_array_equal(pattern.mask(scores, progress), pattern.mask(scores.copy(order="F"), progress))
    np.testing.assert_array_equal(pattern.mask(scores, progress), pattern.mask(scores.astype(np.float64), progress))


@given(patterns)
def test_a_dictionary_and_back(pattern: Pattern) -> None:
    data = pattern.to_dict()
    assert data["name"] == type(pattern).__name__
    assert _construct("pattern", data, PATTERNS, "name") == pattern


# Counts


@pytest.mark.parametrize(
    ("fraction", "size", "zeros"),
    [
        (0.5, 4, 2),
        (0.5, 5, 3),  # halves up
        (0.5, 1, 1),
        (0.3, 5, 2),
        (0.7, 5, 4),
        (0.1, 5, 1),
        (0.29, 50, 15),  # 14.499999999999998 in binary, 14.5 as it was written
        (0.8, 1000, 800),
        (0.1, 1000, 100),
        (0.999, 1000, 999),
        (0.0, 10, 0),
        (1.0, 10, 10),
        (0.49, 1, 0),
        (0.8, 0, 0),
    ],
)
def test_count(fraction: float, size: int, zeros: int) -> None:
    assert count(fraction, size) == zeros


@given(st.integers(0, 100), st.integers(1, 100_000))
def test_count_is_the_decimal_that_was_written(percent: int, size: int) -> None:
    assert count(percent / 100, size) == (2 * percent * size + 100) // 200


@given(EXAMPLES["Unstructured"], shapes, progresses, seeds, st.booleans())
def test_unstructured_has_exactly_that_many_zeros(
    pattern: Unstructured, shape: tuple[int, int, int], progress: float, seed: int, ties: bool
) -> None:
    scores = tied(shape, seed) if ties else np.abs(distinct(shape, seed))
    mask = pattern.mask(scores, progress)
    assert np.count_nonzero(~mask) == count(pattern.sparsity * progress, scores.size)
    if not mask.all() and mask.any():
        assert scores[~mask].max() <= scores[mask].min()  # what stays is never less than what goes


@given(EXAMPLES["Unstructured"], shapes, progresses, seeds)
def test_ties_go_by_index(pattern: Unstructured, shape: tuple[int, int, int], progress: float, seed: int) -> None:
    """An oracle by sorting (score, index): the first ones go."""
    scores = tied(shape, seed)
    flat = scores.ravel().tolist()
    order = sorted(range(len(flat)), key=lambda index: (flat[index], index))
    wanted = np.ones(len(flat), bool)
    wanted[order[: count(pattern.sparsity * progress, len(flat))]] = False
    np.testing.assert_array_equal(pattern.mask(scores, progress).ravel(), wanted)


@pytest.mark.parametrize(
    ("scores", "zeros", "kept"),
    [
        ([3, 1, 2], 1, [1, 0, 1]),
        ([0, 0, 0, 0], 2, [0, 0, 1, 1]),
        ([1, 1, 0, 1, 1], 3, [0, 0, 0, 1, 1]),
        ([5, 5], 0, [1, 1]),
        ([5, 5], 2, [0, 0]),
        ([5, 5], 3, [0, 0]),
        ([], 0, []),
        ([0.0, -0.0], 1, [0, 1]),
    ],
)
def test_keep_highest(scores: list[float], zeros: int, kept: list[int]) -> None:
    assert keep_highest(np.array(scores, np.float32), zeros).astype(int).tolist() == kept


def test_an_all_zero_tensor_is_pruned_like_any_other() -> None:
    """TFMOT keeps all ties: its mask here is all ones."""
    zeros = np.zeros((2, 3, 4), np.float32)
    assert np.count_nonzero(~Unstructured(0.5).mask(zeros, 1.0)) == 12
    assert np.count_nonzero(~Block((1, 2), 0.5).mask(zeros, 1.0)) == 12
    assert NofM(1, 4).mask(zeros, 1.0).sum(axis=-1).tolist() == [[1, 1, 1]] * 2


# Blocks


@given(EXAMPLES["Block"], shapes, progresses, seeds, st.booleans())
def test_blocks_are_zero_together_and_exactly_as_many_as_asked(
    pattern: Block, shape: tuple[int, int, int], progress: float, seed: int, ties: bool
) -> None:
    scores = tied(shape, seed) if ties else np.abs(distinct(shape, seed))
    mask = pattern.mask(scores, progress)
    rows, cols = pattern.shape
    units = [
        (position, slice(row, row + rows), slice(col, col + cols))
        for position in range(shape[0])
        for row in range(0, shape[1], rows)
        for col in range(0, shape[2], cols)
    ]
    whole = [np.unique(mask[unit]) for unit in units]
    assert all(len(values) == 1 for values in whole)
    assert sum(not values[0] for values in whole) == count(pattern.sparsity * progress, len(units))
    means = np.array([scores[unit].astype(np.float64).mean() for unit in units])
    kept = np.array([bool(values[0]) for values in whole])
    if kept.any() and not kept.all():
        assert means[~kept].max() <= means[kept].min() + 1e-12


def test_blocks_literally() -> None:
    scores = np.array([[[9, 9, 1, 1, 8], [9, 9, 1, 1, 8], [2, 2, 7, 7, 0.5]]], np.float32)
    # 2x2 blocks, the last row and column stick out: means 9, 1, 8 / 2, 7, 0.5
    mask = Block((2, 2), 0.5).mask(scores, 1.0)
    assert mask.astype(int).tolist() == [[[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 0, 1, 1, 0]]]


def test_a_block_larger_than_the_matrix_is_the_matrix() -> None:
    scores = np.stack([np.full((2, 3), 1.0), np.full((2, 3), 2.0)])
    mask = Block((8, 8), 0.5).mask(scores, 1.0)
    assert mask.all(axis=(1, 2)).tolist() == [False, True]
    assert not mask[0].any()


def test_blocks_of_size_1_axes() -> None:
    for shape in ((1, 1, 1), (9, 1, 1), (1, 7, 1), (1, 1, 7), (3, 1, 5)):
        mask = Block((4, 1), 0.5).mask(np.ones(shape), 1.0)
        blocks = shape[0] * -(-shape[1] // 4) * shape[2]
        assert np.count_nonzero(~mask.all(axis=1)) >= count(0.5, blocks) - blocks // 2
        assert mask.shape == shape


# N:M


@given(EXAMPLES["NofM"], shapes, progresses, seeds, st.booleans())
def test_every_group_keeps_as_many_as_its_progress_asks(
    pattern: NofM, shape: tuple[int, int, int], progress: float, seed: int, ties: bool
) -> None:
    scores = tied(shape, seed) if ties else np.abs(distinct(shape, seed))
    mask = pattern.mask(scores, progress)
    keep = pattern.m - count(progress, pattern.m - pattern.n)
    for position, row, start in itertools.product(range(shape[0]), range(shape[1]), range(0, shape[2], pattern.m)):
        group = slice(start, start + pattern.m)
        values, kept = scores[position, row, group].tolist(), mask[position, row, group]
        wanted = sorted(range(len(values)), key=lambda index: (values[index], index))[max(0, len(values) - keep) :]
        assert sorted(np.flatnonzero(kept)) == sorted(wanted)


def test_1_of_4_keeps_one() -> None:
    """NofM(n, m) keeps n: elsewhere the same figures count the zeros, which 2:4 hides."""
    scores = np.array([[[1, 4, 2, 3, 8, 5, 6, 7]]], np.float32)
    assert NofM(1, 4).mask(scores, 1.0).astype(int).tolist() == [[[0, 1, 0, 0, 1, 0, 0, 0]]]
    assert NofM(3, 4).mask(scores, 1.0).astype(int).tolist() == [[[0, 1, 1, 1, 1, 0, 1, 1]]]


def test_groups_run_along_the_inputs_of_one_output() -> None:
    scores = np.array([[[9, 8, 1, 2], [1, 2, 9, 8]], [[9, 1, 8, 2], [1, 9, 2, 8]]], np.float32)
    assert NofM(2, 4).mask(scores, 1.0).astype(int).tolist() == [
        [[1, 1, 0, 0], [0, 0, 1, 1]],
        [[1, 0, 1, 0], [0, 1, 0, 1]],
    ]


def test_n_of_m_ramps() -> None:
    scores = np.array([[[1, 2, 3, 4, 5, 6, 7, 8]]], np.float32)
    kept = [int(NofM(2, 8).mask(scores, progress).sum()) for progress in (0, 0.08, 0.09, 0.25, 0.5, 0.91, 0.92, 1)]
    assert kept == [8, 8, 7, 6, 5, 3, 2, 2]


def test_a_short_last_group() -> None:
    mask = NofM(2, 4).mask(np.array([[[1, 2, 3, 4, 9, 8, 7]]], np.float32), 1.0)
    assert mask.astype(int).tolist() == [[[0, 0, 1, 1, 1, 1, 0]]]
    mask = NofM(2, 4).mask(np.array([[[1, 2, 3, 4, 0]]], np.float32), 1.0)
    assert mask.astype(int).tolist() == [[[0, 0, 1, 1, 1]]]


def test_a_violation_says_where() -> None:
    weights = np.zeros((3, 5, 10), np.float32)
    weights[2, 3, 4:7] = 1.0
    weights[2, 4, 0:4] = 1.0
    words = NofM(2, 4).violation(weights)
    assert words == (
        "2 of 45 groups keep more than 2 of 4, first at output channel 3, inputs 4 to 7, kernel position 2"
    )
    assert Unstructured(0.8).violation(np.ones((1, 2, 5))) == "0 of 10 units are zero, 8 were asked for"


# Several tensors


@given(ranked, st.lists(shapes, min_size=1, max_size=4), progresses, seeds)
def test_one_ranking_over_several_tensors(
    pattern: RankedPattern, several: list[tuple[int, int, int]], progress: float, seed: int
) -> None:
    scores = [tied(shape, seed + index) for index, shape in enumerate(several)]
    masks = pattern.masks(scores, progress)
    units = [pattern.units(mask).astype(bool) for mask in masks]
    total = sum(each.size for each in units)
    assert sum(int(np.count_nonzero(~each)) for each in units) == count(pattern.sparsity * progress, total)
    assert [mask.shape for mask in masks] == several


def test_one_tensor_is_ranked_alone() -> None:
    scores = np.abs(distinct((2, 3, 5), 0))
    np.testing.assert_array_equal(Unstructured(0.3).masks([scores], 1.0)[0], Unstructured(0.3).mask(scores, 1.0))


# Bad arguments


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan"), "0.5", None, True, np.float32(0.5)])
def test_a_wrong_sparsity_is_refused(sparsity: object) -> None:
    for make in (Unstructured, lambda value: Block((1, 4), value)):
        with pytest.raises(ValueError, match=r"fraction of zeros.*Received: sparsity="):
            make(sparsity)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_m", [(0, 4), (-1, 4), (2.0, 4), (True, 4), (2, 0), (2, "4"), (None, 4)])
def test_a_wrong_n_of_m_is_refused(n_m: tuple[object, object]) -> None:
    with pytest.raises(ValueError, match=r"whole number of at least 1.*Received"):
        NofM(*n_m)  # type: ignore[arg-type]


def test_more_than_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keeps n of m.*n=4, m=2"):
        NofM(4, 2)


@pytest.mark.parametrize("shape", [(1,), (1, 2, 3), 4, "14", None, (0, 4), (1, -1), (1.0, 4), (True, 4)])
def test_a_wrong_block_is_refused(shape: object) -> None:
    with pytest.raises(ValueError, match="Received"):
        Block(shape, 0.5)  # type: ignore[arg-type]


def test_equal_patterns_are_equal() -> None:
    assert Block([1, 16], 0.5) == Block((1, 16), 0.5)  # type: ignore[arg-type]
    assert hash(Block([1, 16], 0.5)) == hash(Block((1, 16), 0.5))  # type: ignore[arg-type]
    assert repr(Unstructured(1)) == repr(Unstructured(np.float64(1.0))) == "Unstructured(sparsity=1.0)"
