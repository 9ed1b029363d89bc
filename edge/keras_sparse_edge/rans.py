"""The entropy decoder of packed files: range asymmetric numeral systems, many lanes side by side.

Duda, "Asymmetric numeral systems" (2013), arXiv:1311.2540; lanes as in Giesen, "Interleaved entropy coders" (2014),
arXiv:1402.3392. Symbol number j of a file is on lane j % lanes; a lane is an integer state in [2^16, 2^32).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keras_sparse_edge.errors import PackedError

BITS = 14
TOTAL = 1 << BITS  # what the frequencies of one model add up to
LOW = 1 << 16
MAX_STEPS = 1 << 17  # symbols of one lane: it bounds the time that a file can take


class Decoder:
    """Takes symbols from states, uint32 (lanes,), and words, uint16 (n,); FORMAT.md has the formula."""

    def __init__(self, states: NDArray[np.uint32], words: NDArray[np.uint16]) -> None:
        self._states = states.astype(np.uint32)
        self._words = words.astype(np.uint32)
        self._used = 0
        self._count = 0
        lanes = states.size
        self._slot, self._factor, self._offset = (np.empty(lanes, np.uint32) for _ in range(3))
        if (self._states < LOW).any():
            raise PackedError(f"the state of a lane must be at least {LOW}; got {self._states.min()}")

    def take(self, count: int, frequencies: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The next `count` symbols, each with its frequency of TOTAL; PackedError if the words run out."""
        if frequencies.max() == TOTAL:  # one symbol that is certain takes no part in the coding
            return np.full(count, frequencies.argmax(), np.uint8)
        lanes = self._states.size
        if self._count + count > lanes * MAX_STEPS:
            raise PackedError(f"a lane must have at most {MAX_STEPS} symbols; got {lanes} lanes for more than that")
        symbols = np.repeat(np.arange(frequencies.size, dtype=np.uint8), frequencies)
        factors = frequencies.astype(np.uint32)[symbols]
        starts = np.cumsum(frequencies) - frequencies
        offsets = (np.arange(TOTAL) - starts[symbols]).astype(np.uint32)
        out = np.empty(count, np.uint8)
        done = 0
        while done < count:
            lane = self._count % lanes
            step = min(lanes - lane, count - done)
            self._step(slice(lane, lane + step), out[done : done + step], symbols, factors, offsets)
            self._count += step
            done += step
        return out

    def _step(
        self,
        lanes: slice,
        out: NDArray[np.uint8],
        symbols: NDArray[np.uint8],
        factors: NDArray[np.uint32],
        offsets: NDArray[np.uint32],
    ) -> None:
        """One symbol of each of `lanes`: s = symbol(x % TOTAL); x = f(s) * (x // TOTAL) + x % TOTAL - start(s)."""
        x, slot, factor, offset = (each[lanes] for each in (self._states, self._slot, self._factor, self._offset))
        np.bitwise_and(x, np.uint32(TOTAL - 1), out=slot)
        # "clip" is NumPy's way to write into `out` without a copy; no slot is out of range
        symbols.take(slot, out=out, mode="clip")
        factors.take(slot, out=factor, mode="clip")
        offsets.take(slot, out=offset, mode="clip")
        np.right_shift(x, np.uint32(BITS), out=x)
        np.multiply(x, factor, out=x)
        np.add(x, offset, out=x)
        low = np.flatnonzero(x < LOW)
        if low.size:
            words = self._words[self._used : self._used + low.size]
            if words.size < low.size:
                raise PackedError(f"words must suffice for all symbols; got only {self._words.size}")
            self._used += low.size
            x[low] = (x[low] << np.uint32(16)) | words

    def finish(self) -> None:
        """PackedError unless every word is used and every lane is back where the encoder began."""
        if self._used != self._words.size or (self._states != LOW).any():
            raise PackedError("the coded symbols must end with their words, every lane in its first state; got a rest")
