"""Hybrid layers beside each other: either all may have block kernels, or none."""

from __future__ import annotations

from keras_sparse.target import TARGETS
from keras_sparse.targets.litert_hybrid import SLOWER
from keras_sparse.targets.network import DENSE, INT8_WEIGHTS, Layer, Network

X86 = TARGETS["litert-x86"]


def dense(name: str, rows: int, cols: int) -> Layer:
    return Layer(name, DENSE, "Dense", 1, rows, cols, INT8_WEIGHTS)


def test_a_large_layer_that_stays_dense_takes_the_blocks_from_the_others() -> None:
    alone = X86.verdicts(Network((dense("large", 1024, 1024),)))
    beside = X86.verdicts(Network((dense("large", 1024, 1024), dense("odd", 1000, 1001))))
    assert alone[0].offer is not None
    assert beside[0].offer is None and beside[0].reasons == (f"odd stays dense: {SLOWER}",)


def test_a_small_layer_is_in_float_beside_blocks() -> None:
    large, small = X86.verdicts(Network((dense("large", 1024, 1024), dense("small", 10, 1024))))
    assert large.offer is not None and small.offer is None
    assert any("computes in float" in reason for reason in small.reasons)
