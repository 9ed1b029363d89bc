"""The models of packed files: how many of TOTAL each symbol has, from a few coded levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.rans import TOTAL, Decoder

LEVELS = 64  # level 0: never; each further level is a quarter of an octave more frequent
FIRST_LEVEL = 40  # what the first level is a difference to
SPACINGS = (1, 2, 4, 8, 16)
_QUARTERS = (256, 304, 362, 431)  # 256 * 2 ** (i / 4)


def frequencies(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers that add up to TOTAL, in proportion to `weights`, at least 1 where a weight is.

    What rounding leaves over, or took too much, is the most frequent symbol's.

    >>> frequencies(np.array([3, 0, 1, 0]))
    array([12288,     0,  4096,     0])
    """
    total = int(weights.sum())
    if total == 0:
        raise PackedError("a model must have a symbol; got only levels of 0")
    result = np.where(weights > 0, np.maximum(1, weights * TOTAL // total), 0)
    most = result.argmax()
    result[most] += TOTAL - int(result.sum())
    if result[most] < 1:
        raise PackedError("a model's most frequent symbol must keep a frequency; got none after rounding")
    return result


def weights(levels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Levels as weights: 0, then 256 * 2 ** ((level - 1) / 4), rounded.

    >>> weights(np.array([0, 1, 2, 5]))
    array([  0, 256, 304, 512])
    """
    above = np.maximum(levels.astype(np.int64) - 1, 0)
    return np.where(levels > 0, np.array(_QUARTERS)[above & 3] << (above >> 2), 0)


def zigzag(differences: NDArray[np.integer]) -> NDArray[np.int64]:
    """Differences of levels, modulo LEVELS, as symbols: 0, -1, 1, -2, 2, ... become 0, 1, 2, 3, 4, ...

    >>> zigzag(np.array([0, -1, 1, -2, 63]))
    array([0, 1, 2, 3, 1])
    """
    half = LEVELS // 2
    signed = (differences.astype(np.int64) + half) % LEVELS - half
    return np.where(signed < 0, -2 * signed - 1, 2 * signed)


# the model of differences: each step away from no change has three quarters of the frequency
DIFFERENCES = frequencies(np.array([max(16, (3**k << 12) // 4**k) for k in range(LEVELS)]))


def take_levels(coder: Decoder, count: int) -> NDArray[np.int64]:
    """The next `count` levels: differences, each to the level before it."""
    symbols = coder.take(count, DIFFERENCES).astype(np.int64)
    signed = np.where(symbols & 1, -(symbols + 1) // 2, symbols // 2)
    return (FIRST_LEVEL + np.cumsum(signed)) % LEVELS


def knots(low: int, high: int, peak: int | None, spacing: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The symbols that have levels: those that stand alone, and those that others lie between.

    The ends `low` and `high` and the `peak` do not follow their neighbours; strictly between the ends, every symbol in
    `spacing` has a level.

    >>> knots(10, 20, 13, 4)
    (array([10, 20, 13]), array([11, 15, 19]))
    """
    alone = sorted({low, high}) + ([peak] if peak is not None and low < peak < high else [])
    inside = list(range(low + 1, high, spacing))
    if inside and inside[-1] != high - 1:
        inside.append(high - 1)
    return np.array(alone, np.int64), np.array(inside, np.int64)


def spread(
    levels: NDArray[np.integer], low: int, high: int, peak: int | None, spacing: int, never: int | None = None
) -> NDArray[np.int64]:
    """Frequencies of 256 symbols, from the levels of `knots`: weights are interpolated, in integers.

    `never` is a symbol that does not come, whatever lies beside it.

    >>> spread(np.array([1, 1, 1, 5]), 3, 7, None, 2)[2:9]
    array([   0, 2520, 2520, 3780, 5044, 2520,    0])
    """
    alone, inside = knots(low, high, peak, spacing)
    own = weights(levels)
    result = np.zeros(256, np.int64)
    if inside.size:
        value, symbols = own[alone.size :], np.arange(low + 1, high)
        left = np.minimum((symbols - inside[0]) // spacing, max(0, inside.size - 2))
        right = np.minimum(left + 1, inside.size - 1)
        width, along = np.maximum(inside[right] - inside[left], 1), symbols - inside[left]
        result[low + 1 : high] = (value[left] * (width - along) + value[right] * along) // width
    result[alone] = own[: alone.size]
    if never is not None:
        result[never] = 0
    return frequencies(result)
