from __future__ import annotations

import numpy as np

from keras_sparse.pattern import Block, NofM, Unstructured
from keras_sparse.targets.network import DENSE, INT8, Layer, Stored


def layer(kept: np.ndarray, **others) -> Layer:
    return Layer("k", DENSE, "Dense", *kept.shape, INT8, zeros=int((~kept).sum()), kept=kept, **others)


def test_only_whole_units_count_for_a_pattern() -> None:
    kept = np.ones((1, 2, 32), bool)
    kept[0, 0, :16] = False  # one block of four
    kept[0, 1, 5:20] = False  # parts of two others
    made = layer(kept)
    assert made.sparsity == 31 / 64
    assert made.sparsity_in(Block((1, 16), 0.9)) == 0.25
    assert made.sparsity_in(Unstructured(0.9)) == 31 / 64


def test_an_n_of_m_pattern_is_kept_or_not() -> None:
    half = np.tile([True, False, True, False], (1, 3, 2))
    assert layer(half).sparsity_in(NofM(2, 4)) == 0.5
    half[0, 0, 1] = True
    assert layer(half).sparsity_in(NofM(2, 4)) == 0.0


def test_a_sparse_table_counts_for_its_own_block_only() -> None:
    stored = Stored("blocks 1x16", 10, (1, 16), version=8)
    made = Layer("k", DENSE, "FULLY_CONNECTED", 1, 4, 32, INT8, zeros=64, stored=stored)
    assert made.sparsity_in(Block((1, 16), 0.5)) == 0.5
    assert made.sparsity_in(Block((1, 4), 0.5)) == 0.0
