"""How much where: one target for each tensor, or one ranking over all."""

from __future__ import annotations

import numpy as np
import pytest

from keras_sparse import allocation
from keras_sparse.pattern import Block, NofM, Unstructured

LARGE = np.array([[[10.0, 9.0, 8.0, 7.0]]])
SMALL = np.array([[[1.0, 2.0], [3.0, 6.5]]])


def test_layer_gives_each_tensor_the_sparsity() -> None:
    masks = allocation.get("layer")(Unstructured(0.5), [LARGE, SMALL], 1.0)
    assert [mask.astype(int).tolist() for mask in masks] == [[[[1, 1, 0, 0]]], [[[0, 0], [1, 1]]]]


def test_global_gives_all_together_the_sparsity() -> None:
    masks = allocation.get("global")(Unstructured(0.5), [LARGE, SMALL], 1.0)
    assert [mask.astype(int).tolist() for mask in masks] == [[[[1, 1, 1, 1]]], [[[0, 0], [0, 0]]]]


def test_global_ties_go_by_tensor_and_index() -> None:
    masks = allocation.get("global")(Unstructured(0.5), [np.zeros((1, 1, 3)), np.zeros((1, 1, 3))], 1.0)
    assert [mask.astype(int).ravel().tolist() for mask in masks] == [[0, 0, 0], [1, 1, 1]]


def test_global_blocks_of_odd_sizes() -> None:
    masks = allocation.get("global")(Block((1, 3), 0.5), [LARGE, SMALL], 1.0)
    # units: 9, 7 / 1.5, 4.75
    assert [mask.astype(int).tolist() for mask in masks] == [[[[1, 1, 1, 1]]], [[[0, 0], [0, 0]]]]


@pytest.mark.parametrize("scope", sorted(allocation.SCOPES))
def test_progress_is_passed_on(scope: str) -> None:
    assert all(mask.all() for mask in allocation.get(scope)(Unstructured(1.0), [LARGE, SMALL], 0.0))
    masks = allocation.get(scope)(Unstructured(1.0), [LARGE, SMALL], 0.5)
    assert sum(int(np.count_nonzero(~mask)) for mask in masks) == 4


def test_a_pattern_without_ranks_is_refused() -> None:
    with pytest.raises(TypeError, match=r"ranks its units.*NofM\(n=2, m=4\)"):
        allocation.get("global")(NofM(2, 4), [LARGE], 1.0)


def test_an_unknown_scope_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown scope.*\['global', 'layer'\].*scope='model'"):
        allocation.get("model")
