"""Tensors of every kind: coded, decoded, and near their bound."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays
from keras_sparse_edge.rans import Decoder
from keras_sparse_edge.weights import Raw, take_weights

from keras_sparse.encoding import tensor
from keras_sparse.encoding.rans import encode

SHAPES = st.lists(st.integers(1, 15), min_size=1, max_size=4).map(tuple)
WORDS = {"int8": np.uint8, "uint8": np.uint8, "float16": np.uint16, "bfloat16": np.uint16, "float32": np.uint32}


def decoded(coded, lanes=3):
    decoder, raw = Decoder(*encode(coded.runs, lanes)), Raw(memoryview(coded.raw))
    out = np.zeros(coded.record.bytes, np.uint8)
    take_weights(coded.record, decoder, raw, out)
    decoder.finish()
    raw.finish()
    return out.tobytes()


@settings(max_examples=40)
@given(st.data(), st.sampled_from(sorted(WORDS)), SHAPES, st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_any_tensor_comes_back(data, dtype, shape, zeros):
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    words = (
        data.draw(arrays.arrays(WORDS[dtype], shape)) if seed % 2 else rng.integers(0, 256, shape).astype(WORDS[dtype])
    )
    words = np.where(rng.random(shape) < zeros, 0, words).astype(WORDS[dtype])
    coded = tensor.encode(words.tobytes(), dtype, shape, 7)
    assert (coded.record.start, coded.record.bytes) == (7, words.nbytes)
    assert decoded(coded) == words.tobytes()


def int8_weights(shape, seed=0):
    """Weights as trained ones are stored: each output channel fills its range."""
    values = np.random.default_rng(seed).normal(size=shape)
    return np.rint(values / np.abs(values).max(-1, keepdims=True) * 127).astype(np.int8)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.8, 0.9, 0.95])
def test_int8_is_within_three_percent_of_positions_and_value_entropy(sparsity):
    weights = int8_weights((256, 300))
    weights[np.abs(weights) < np.quantile(np.abs(weights), sparsity)] = 0
    coded = tensor.encode(weights.tobytes(), "int8", weights.shape, 0)
    nonzero = weights[weights != 0]
    counts = np.bincount(nonzero.view(np.uint8))
    p = nonzero.size / weights.size
    flags = 0 if p == 1 else -weights.size * (p * np.log2(p) + (1 - p) * np.log2(1 - p))
    bound = flags + tensor.entropy(counts)
    assert coded.bound == pytest.approx(bound, rel=0.001)
    assert coded.bits < 1.03 * bound
    assert decoded(coded) == weights.tobytes()


def test_the_background_of_uint8_is_its_zero_point():
    weights = np.where(np.random.default_rng(0).random((64, 64)) < 0.9, 131, np.arange(64)).astype(np.uint8)
    coded = tensor.encode(weights.tobytes(), "uint8", weights.shape, 0)
    assert coded.record.background == 131
    assert decoded(coded) == weights.tobytes()


def test_groups_in_sparse_tensors_come_back():
    weights = int8_weights((64, 1200)).astype(float) * np.where(np.arange(64) % 2, 0.1, 1.0)[:, None]
    weights = np.where(np.random.default_rng(1).random(weights.shape) < 0.97, 0, weights).astype(np.int8)
    coded = tensor.encode(weights.tobytes(), "int8", weights.shape, 0)
    assert coded.record.positions is not None
    assert coded.record.groups is not None
    assert decoded(coded) == weights.tobytes()
