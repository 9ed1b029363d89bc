"""Models of packed files, fitted: the levels from which the decoder has its frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras_sparse_edge import histogram as decoding
from keras_sparse_edge.errors import PackedError
from numpy.typing import NDArray

from keras_sparse.encoding.rans import Run, cost

TOP = 60
"""The level of what comes most often; below it are fifteen octaves."""


@dataclass(frozen=True, eq=False)
class Model:
    """Levels, the frequencies that follow from them, and what both cost: the levels' bits and the symbols'."""

    levels: NDArray[np.int64]
    frequencies: NDArray[np.int64]
    bits: float
    spacing: int = 1
    low: int = 0
    high: int = 0

    @property
    def run(self) -> Run:
        """The levels as symbols to be coded."""
        return _differences(self.levels), decoding.DIFFERENCES


def fit_values(counts: NDArray[np.int64], peak: int | None, never: int | None) -> list[Model]:
    """The cheapest models of 256 symbols that come `counts` times, (groups, 256): one a group, with the same spacing.

    `peak` is a symbol that does not follow its neighbours; `never` one that is known not to come.
    """
    come = np.flatnonzero(counts.sum(0))
    low, high = (int(come[0]), int(come[-1])) if come.size else (0, 0)
    found = []
    for spacing in decoding.SPACINGS:
        try:
            found.append([_fit(each, low, high, peak, never, spacing) for each in counts])
        except PackedError:  # too many rare symbols for the precision
            continue
    if not found:
        raise ValueError(f"No model holds {come.size} symbols.")
    return min(found, key=lambda models: sum(model.bits for model in models))


def _fit(counts: NDArray[np.int64], low: int, high: int, peak: int | None, never: int | None, spacing: int) -> Model:
    levels = _value_levels(counts, low, high, peak, never, spacing)
    frequencies = decoding.spread(levels, low, high, peak, spacing, never)
    return Model(levels, frequencies, _bits(levels, counts, frequencies), spacing, low, high)


def fit_groups(counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> Model:
    """The model of symbols in groups of equal frequency: `sizes[g]` symbols come `counts[g]` times."""
    levels = to_levels(counts / sizes)
    groups = np.repeat(np.arange(sizes.size), sizes)
    frequencies = decoding.frequencies(decoding.weights(levels)[groups])
    each = frequencies[np.cumsum(sizes) - sizes]  # but for the one symbol that takes what rounding leaves over
    return Model(levels, frequencies, _bits(levels, counts, each))


def to_levels(rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """Levels in proportion to `rates`: 0 where nothing comes, TOP for the largest.

    >>> to_levels(np.array([0.0, 1.0, 2.0, 1e-9]))
    array([ 0, 56, 60,  1])
    """
    most = rates.max()
    if most <= 0:
        return np.where(np.arange(rates.size) == 0, TOP, 0)
    with np.errstate(divide="ignore"):
        levels = np.rint(TOP + 4 * np.log2(rates / most))
    return np.where(rates > 0, np.maximum(levels, 1), 0).astype(np.int64)


def _value_levels(
    counts: NDArray[np.int64], low: int, high: int, peak: int | None, never: int | None, spacing: int
) -> NDArray[np.int64]:
    alone, inside = decoding.knots(low, high, peak, spacing)
    smooth = counts.astype(np.float64)
    usual = np.ones(256)
    for symbol in [*alone, *([] if never is None else [never])]:
        smooth[symbol] = usual[symbol] = 0
    # a knot stands for the symbols up to halfway to the next one on either side, or, if none come, to the next one
    come, known = (np.concatenate([[0], np.cumsum(each)]) for each in (smooth, usual))

    def rate(reach: int) -> NDArray[np.float64]:
        first, last = np.maximum(low, inside - reach), np.minimum(high, inside + reach) + 1
        mean: NDArray[np.float64] = (come[last] - come[first]) / np.maximum(1.0, known[last] - known[first])
        return mean

    near = rate(spacing // 2)
    rates = np.where(near > 0, near, rate(spacing))
    return to_levels(np.concatenate([counts[alone].astype(np.float64), rates]))


def _differences(levels: NDArray[np.int64]) -> NDArray[np.uint8]:
    return decoding.zigzag(np.diff(levels, prepend=decoding.FIRST_LEVEL)).astype(np.uint8)


def _bits(levels: NDArray[np.int64], counts: NDArray[np.int64], frequencies: NDArray[np.int64]) -> float:
    differences = np.bincount(_differences(levels), minlength=decoding.LEVELS)
    return cost(differences, decoding.DIFFERENCES) + cost(counts, frequencies)
