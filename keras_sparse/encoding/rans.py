"""The entropy encoder of packed files: range asymmetric numeral systems, backwards through what the decoder takes."""

from __future__ import annotations

import numpy as np
from keras_sparse_edge.rans import BITS, LOW, TOTAL
from numpy.typing import NDArray

Run = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Symbols, and the frequencies, of TOTAL, of the model that they are coded with."""


def encode(runs: list[Run], lanes: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """States, one for each lane, and words, from which `keras_sparse_edge.rans.Decoder` takes the runs in this order.

    Symbol number j, over all runs, is on lane j % lanes. Raises ValueError for a symbol whose frequency is 0.

    >>> from keras_sparse_edge.rans import Decoder
    >>> symbols, frequencies = np.array([0, 1, 0, 0, 1], np.uint8), np.array([12288, 4096])
    >>> states, words = encode([(symbols, frequencies)], lanes=2)
    >>> Decoder(states, words).take(5, frequencies).tolist()
    [0, 1, 0, 0, 1]
    """
    if lanes < 1:
        raise ValueError(f"There must be a lane. Received: lanes={lanes}")
    states = np.full(lanes, LOW, np.uint32)
    coded = [(symbols, frequencies) for symbols, frequencies in runs if frequencies.max() < TOTAL]
    for symbols, frequencies in runs:
        if symbols.size and (frequencies[symbols] == 0).any():
            raise ValueError("A symbol with the frequency 0 cannot be coded.")
    end = sum(symbols.size for symbols, _ in coded)
    words = []
    for symbols, frequencies in reversed(coded):
        factors = frequencies.astype(np.uint32)
        starts = (np.cumsum(frequencies) - frequencies).astype(np.uint32)
        begin, stop = end - symbols.size, end
        while stop > begin:
            lane = (stop - 1) % lanes  # of the last symbol of this step
            step = min(lane + 1, stop - begin)
            part = symbols[stop - step - begin : stop - begin]
            words.append(_step(states[lane + 1 - step : lane + 1], factors[part], starts[part]))
            stop -= step
        end = begin
    return states, np.concatenate([*reversed(words), np.empty(0, np.uint16)])


def _step(x: NDArray[np.uint32], factor: NDArray[np.uint32], start: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """x = x // f * TOTAL + x % f + start, in place; before that the low word of a state that would grow too large."""
    over = x >= factor << np.uint32(32 - BITS)
    words = x[over].astype(np.uint16)
    x[over] >>= np.uint32(16)
    quotient, remainder = np.divmod(x, factor)
    x[:] = (quotient << np.uint32(BITS)) + remainder + start
    return words


def cost(counts: NDArray[np.int64], frequencies: NDArray[np.int64]) -> float:
    """Bits that symbols which come `counts` times take; infinite where a symbol that comes has the frequency 0.

    >>> cost(np.array([3, 1]), np.array([8192, 8192]))
    4.0
    """
    come = counts > 0
    if (frequencies[come] == 0).any():
        return float("inf")
    return float((counts[come] * (BITS - np.log2(frequencies[come]))).sum())
