"""Which int8 levels LiteRT's kernels can give for a real value: bounds that hold for each of them.

The kernels round differently. TFLite's own multiply by a 31-bit number and shift, which rounds twice or cuts off first;
XNNPACK's multiply in float32. So a level is taken as possible if it is within half a level of the value and the error
of the least exact kernel; it is certain if no other one is possible.
"""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

INT8, INT32 = np.iinfo(np.int8), np.iinfo(np.int32)
LOWEST, HIGHEST = INT8.min, INT8.max

SLACK = 0.01
"""Levels: float32 products, multipliers of 16 bits."""

SMALLEST = 2.0**-30
"""Multipliers below are flushed to zero by some kernels and not by others."""

LIMITS = {
    schema.ActivationFunctionType.NONE: (-np.inf, np.inf),
    schema.ActivationFunctionType.RELU: (0.0, np.inf),
    schema.ActivationFunctionType.RELU6: (0.0, 6.0),
    schema.ActivationFunctionType.RELU_N1_TO_1: (-1.0, 1.0),
}
"""The fused activations that are limits, as real values."""


def error(multiplier):
    """Levels that a kernel may be off, beyond the rounding to a level, where it multiplies an integer by `multiplier`.

    A shift by s bits that follows a rounding adds up to 2^-s of a level, and multiplier = m 2^-s with m >= 1/2.
    """
    return np.where(np.asarray(multiplier) < SMALLEST, 1.0, np.minimum(2 * np.asarray(multiplier), 0.5) + SLACK)


def levels(low, high, errors, within=INT8):
    """`(lowest, highest)` level that a real value in `[low, high]` can become, within the limits of an integer type."""
    lowest = np.ceil(np.asarray(low, np.float64) - 0.5 - errors)
    highest = np.floor(np.asarray(high, np.float64) + 0.5 + errors)
    return tuple(np.clip(each, within.min, within.max).astype(np.int64) for each in (lowest, highest))


def requantized(low, high, multiplier, zero_point):
    """The levels of accumulators in `[low, high]`: what `zero_point + multiplier * accumulator` can become."""
    errors = np.where((low == 0) & (high == 0), 0.0, error(multiplier))  # every kernel makes zero of zero
    return levels(low * multiplier + zero_point, high * multiplier + zero_point, errors)


def overflows(low, high, multiplier):
    """Where an accumulator in `[low, high]` does not fit int32, as it is or shifted left by a multiplier above 1."""
    shifted = 2.0 ** np.maximum(np.ceil(np.log2(multiplier)), 0)
    return (low * shifted < INT32.min) | (high * shifted > INT32.max)


def activated(lowest, highest, activation, scale, zero_point):
    """Levels after a fused activation, one of `LIMITS`."""
    for limit, bound in zip(LIMITS[activation], (np.maximum, np.minimum), strict=True):
        if np.isfinite(limit):
            value = limit / scale + zero_point
            first, last = levels(value, value, 0.0 if limit == 0 else SLACK)
            lowest, highest = bound(lowest, first), bound(highest, last)
    return lowest, highest


def multiplied(value, multiplier):
    """All that TFLite's kernels can make of an int32 times a real number.

    They round once; before and after a shift, where then ties go away from zero or up; or cut off before it.

    >>> multiplied(-1152, 0.112), multiplied(-3, 0.5)
    ({-129}, {-1})
    """
    fraction, exponent = math.frexp(multiplier)
    fixed, right = round(fraction * 2**31), max(-exponent, 0)
    product = (value << max(exponent, 0)) * fixed
    high = _shifted(product, 31)
    away = _shifted(high, right) if high >= 0 else -_shifted(-high, right)
    # What cuts off shifts by one at least, and has shifted left before for that.
    cut = _shifted((product << (right == 0)) >> 31, max(right, 1))
    return {away, _shifted(high, right), _shifted(product, 31 + right), cut}


def _shifted(value, bits):
    """A shift to the right that rounds to the nearest integer, ties up."""
    return value if bits == 0 else (value + (1 << (bits - 1))) >> bits
