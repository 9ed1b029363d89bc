"""What zeros bring in bytes: the bounds, against figures worked out by hand and masks that are counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.pattern import Block, NofM, Unstructured
from keras_sparse.target import named
from keras_sparse.targets import packed
from keras_sparse.targets.contract import SIZE
from keras_sparse.targets.network import DENSE, FLOAT32, INT8, INT8_WEIGHTS, Layer, Network, Stored


@pytest.mark.parametrize(
    ("pattern", "bits"),
    [
        (Unstructured(0.5), 5.0),
        (Unstructured(0.7), 3.281),
        (Unstructured(0.8), 2.322),
        (Unstructured(0.9), 1.269),
        (Unstructured(0.95), 0.686),
        (NofM(2, 4), 4.646),
        (NofM(4, 8), 4.766),
        (NofM(1, 4), 2.5),
        (NofM(2, 8), 2.601),
        (NofM(1, 8), 1.375),
        (NofM(1, 16), 0.75),
        (Block((1, 16), 0.9), 0.469 / 16 + 0.8),
    ],
)
def test_bits_per_weight_of_int8(pattern, bits) -> None:
    assert packed.bits_per_weight(pattern, INT8) == pytest.approx(bits, abs=6e-4)


@given(st.integers(1, 12).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))))
def test_the_bound_counts_the_masks(counts) -> None:
    """N:M against the number of masks listed one by one."""
    n, m = counts
    if n == 0:
        return
    masks = sum(bin(mask).count("1") == n for mask in range(2**m))
    assert packed.bits_per_weight(NofM(n, m), INT8) == pytest.approx((np.log2(masks) + 8 * n) / m)


def test_a_layer_is_told_in_bytes() -> None:
    kept = np.zeros((1, 10, 100), bool)
    kept[0, 0] = True  # 90 % zeros
    layer = Layer("k", DENSE, "Dense", 1, 10, 100, INT8, zeros=900, kept=kept)
    (found,) = named("packed").verdicts(Network((layer,)))
    assert found.kernel == "at most 1.27 bits a weight, 159 B"
    assert found.offer.buys == SIZE and found.offer.evidence[0].gain(0.9) == pytest.approx(8 / 1.269, rel=1e-3)


def test_a_layer_of_a_file_counts_as_it_is_stored() -> None:
    stored = Stored("dense + DEQUANTIZE", 1000, scheme=INT8_WEIGHTS)
    layer = Layer("k", DENSE, "FULLY_CONNECTED", 1, 10, 100, FLOAT32, zeros=900, stored=stored)
    (found,) = named("packed").verdicts(Network((layer,)))
    assert found.kernel == "at most 1.27 bits a weight, 159 B"
    assert found.offer.evidence[0].against == "dense int8-weights, uncompressed" and "dense 8;" in found.reasons[0]


def test_any_zeros_save_bytes_in_every_scheme() -> None:
    for scheme in (INT8, FLOAT32):
        evidence = packed.evidence(scheme)
        assert evidence.break_even == 0.0 and evidence.gain(0.5) > 1.5
