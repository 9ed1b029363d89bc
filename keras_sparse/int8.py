"""Scales and rounding of the int8 scheme: symmetric per-channel weights, asymmetric per-tensor activations.

Zero maps to zero and nothing else does: a weight that training kept is never rounded away, so the zeros in a file are
exactly the zeros of the mask, and a pattern that holds in float holds in int8.
"""

from __future__ import annotations

import numpy as np

QMIN, QMAX = -128, 127
LEVELS = QMAX - QMIN
"""Steps from the lowest to the highest of the 256 levels of a range."""

WEIGHT_MAX = 127
"""Weights use [-127, 127], so that negation and every runtime's kernels are exact."""

REDUCED_MAX = 64
"""With `reduce_range`, weights use [-64, 64]: two products with bytes sum to at most 2 * 255 * 64 = 32,640 < 2^15, so
that kernels which add them in 16 bits (x86-64 without VNNI, `vpmaddubsw`) are exact as well."""

GRID_TOLERANCE = 1e-5
"""Of a channel's largest weight: how far from the grid weights still count as on it, a few roundings of float32."""

TINY = np.finfo(np.float32).tiny


def weight_scale(weights: np.ndarray, channel_axes: tuple[int, ...], largest: int = WEIGHT_MAX) -> np.ndarray:
    """float32 scale per output channel, shaped to broadcast: `max|w| / largest`, and 1 for a channel of zeros.

    It is never below the least normal number: a channel that has decayed to less still divides. `largest` is
    `WEIGHT_MAX` or `REDUCED_MAX`, here and below.

    >>> weight_scale(np.float32([[127.0, 0.0], [-254.0, 0.0]]), (1,)).tolist()
    [[2.0, 1.0]]
    """
    reduce = tuple(axis for axis in range(weights.ndim) if axis not in channel_axes)
    peak = np.abs(weights.astype(np.float32)).max(axis=reduce, keepdims=True, initial=0.0)
    scale: np.ndarray = np.where(peak > 0, np.maximum(peak / np.float32(largest), TINY), np.float32(1.0))
    return scale.astype(np.float32)


def quantize_weights(weights: np.ndarray, scale: np.ndarray, largest: int = WEIGHT_MAX) -> np.ndarray:
    """`q = round(w / scale)` in [-largest, largest], halves to even, and at least 1 in magnitude where `w` is not 0.

    >>> quantize_weights(np.float32([0.0, 0.1, -0.1, 2.5, 500.0]), np.float32(1.0)).tolist()
    [0, 1, -1, 2, 127]
    """
    scaled = weights.astype(np.float32) / scale
    rounded = np.sign(weights) * np.maximum(np.abs(np.rint(scaled)), 1.0)
    return np.asarray(np.clip(rounded, -largest, largest), np.int8)


def on_grid(
    weights: np.ndarray, channel_axes: tuple[int, ...], largest: int = WEIGHT_MAX
) -> tuple[np.ndarray, np.ndarray] | None:
    """`(int8 values, scale)`, as the functions above give them, of weights that lie on their grid, else `None`.

    >>> values, scale = on_grid(np.float32([[2.0, 0.0], [-254.0, 0.0]]), (1,))
    >>> values.tolist(), scale.tolist()
    ([[1, 0], [-127, 0]], [[2.0, 1.0]])
    >>> on_grid(np.float32([[2.5], [-254.0]]), (1,)) is None
    True
    """
    scale = weight_scale(weights, channel_axes, largest)
    values = quantize_weights(weights, scale, largest)
    # A weight that is not 0 has a level of at least 1: one that is nearly 0 is off the grid.
    if np.abs(weights / scale - values).max(initial=0.0) > GRID_TOLERANCE * largest:
        return None
    return values, scale


def range_parameters(low: float, high: float) -> tuple[np.float32, int]:
    """Scale and zero point of an activation range, widened to hold 0 exactly, as FakeQuant nudges it.

    >>> range_parameters(0.0, 255.0)
    (np.float32(1.0), -128)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(np.float32((high - low) / (QMAX - QMIN)), TINY) if high > low else np.float32(1.0)
    return scale, int(np.clip(QMIN + np.floor(-low / scale + np.float32(0.5)), QMIN, QMAX))
