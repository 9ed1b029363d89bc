"""The coder of symbols against its definition, one symbol at a time."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.histogram import frequencies
from keras_sparse_edge.rans import LOW, TOTAL, Decoder

from keras_sparse.encoding.rans import cost, encode

COUNTS = st.lists(st.integers(0, 1000), min_size=1, max_size=256).filter(any).map(lambda c: np.array(c, np.int64))


def decode(states, words, models):
    """FORMAT.md's formula: `models` has the frequencies of each symbol that is to be taken."""
    states, words, out, lane = [int(x) for x in states], [int(w) for w in words], [], 0
    for model in models:
        if model.max() == TOTAL:
            out.append(int(model.argmax()))
            continue
        x = states[lane]
        starts = np.cumsum(model) - model
        symbol = next(s for s, start in enumerate(starts) if start <= x % TOTAL < start + model[s])
        x = int(model[symbol]) * (x // TOTAL) + x % TOTAL - int(starts[symbol])
        if x < LOW:
            x = (x << 16) + words.pop(0)
        states[lane] = x
        out.append(symbol)
        lane = (lane + 1) % len(states)
    assert not words
    assert set(states) == {LOW}
    return out


@given(st.lists(st.tuples(COUNTS, st.integers(0, 40)), max_size=4), st.integers(1, 9), st.randoms())
def test_runs_come_back_as_the_formula_says(runs, lanes, random):
    coded = []
    for counts, length in runs:
        come = np.flatnonzero(counts)
        symbols = np.array([random.choice(come) for _ in range(length)], np.uint8)
        coded.append((symbols, frequencies(counts)))
    states, words = encode(coded, lanes)
    decoder = Decoder(states, words)
    for symbols, model in coded:
        np.testing.assert_array_equal(decoder.take(symbols.size, model), symbols)
    decoder.finish()
    want = [int(s) for symbols, _ in coded for s in symbols]
    assert decode(states, words, [model for symbols, model in coded for _ in symbols]) == want


def test_literal():
    half = np.array([8192, 8192])
    states, words = encode([(np.array([1, 0, 1], np.uint8), half)], lanes=1)
    # 2^16 -> 1: 8 * 16384 + 8192 = 139264; 0: 17 * 16384 + 0 = 278528 ...
    assert states.tolist() == [(((65536 // 8192 * 16384 + 8192) // 8192 * 16384) // 8192 * 16384) + 8192]
    assert words.tolist() == []


@pytest.mark.parametrize("lanes", [1, 7, 64])
def test_the_size_is_the_entropy(lanes):
    model = frequencies(np.array([1000, 30, 5, 1]))
    symbols = np.random.default_rng(0).choice(4, 50_000, p=model / TOTAL).astype(np.uint8)
    _, words = encode([(symbols, model)], lanes)
    bits = cost(np.bincount(symbols), model)
    assert abs(16 * words.size - bits) < 0.001 * bits + 16 * lanes


def test_symbols_cannot_be_taken_in_vain():
    model = frequencies(np.array([3, 1]))
    states, words = encode([(np.zeros(5000, np.uint8), model)], 4)
    decoder = Decoder(states, words[:-1])
    with pytest.raises(PackedError, match="words must suffice"):
        decoder.take(5000, model)
    decoder = Decoder(states, words)
    decoder.take(4000, model)
    with pytest.raises(PackedError, match="must end with their words"):
        decoder.finish()
    with pytest.raises(PackedError, match="state of a lane must be at least 65536"):
        Decoder(np.array([65535], np.uint32), words)
    with pytest.raises(PackedError, match="at most 131072 symbols"):
        Decoder(states, words).take(4 * 131072 + 1, model)


def test_bad_input():
    model = frequencies(np.array([3, 0, 1]))
    with pytest.raises(ValueError, match="frequency 0"):
        encode([(np.array([1], np.uint8), model)], 1)
    with pytest.raises(ValueError, match="Received: lanes=0"):
        encode([], 0)
    assert cost(np.array([0, 1, 0]), model) == float("inf")
