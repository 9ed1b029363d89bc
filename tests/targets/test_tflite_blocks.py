from __future__ import annotations

import itertools

import numpy as np
import pytest

from keras_sparse.targets import tflite_blocks
from keras_sparse.targets.network import CONV, DENSE, FLOAT16, FLOAT32, INT8, INT8_WEIGHTS, Layer


def layer(rows=1024, cols=1024, scheme=INT8_WEIGHTS, kind=DENSE, vectors=1, kept=None):
    zeros = 0 if kept is None else int((~kept).sum())
    return Layer("k", kind, "Dense", 1, rows, cols, scheme, zeros=zeros, kept=kept, vectors=vectors)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"cols": 1000}, "1000 inputs are no multiple of 16"),
        ({"cols": 1002, "scheme": FLOAT32}, "1002 inputs are no multiple of 4"),
        ({"cols": 4112}, "4112 inputs are more than 4096"),
        ({"kind": CONV}, "FULLY_CONNECTED only"),
        ({"scheme": FLOAT16}, "made float32"),
    ],
)
def test_what_the_kernels_do_not_take_is_refused(given, reason) -> None:
    assert reason in tflite_blocks.refusal(layer(**given))


@pytest.mark.parametrize(
    "given", [{}, {"cols": 4096}, {"cols": 1000, "scheme": FLOAT32}, {"cols": 4112, "scheme": INT8}]
)
def test_what_they_take_is_not(given) -> None:
    assert tflite_blocks.refusal(layer(**given)) is None


def test_a_row_of_256_blocks_overflows_the_hybrid_counter() -> None:
    kept = np.ones((1, 2, 4096), bool)
    assert tflite_blocks.refusal(layer(2, 4096, kept=kept)) is None  # nothing is pruned yet
    kept[0, 1, :16] = False
    assert "a row has 256 blocks" in tflite_blocks.refusal(layer(2, 4096, kept=kept))
    kept[0, 0, 16:32] = False
    assert tflite_blocks.refusal(layer(2, 4096, kept=kept)) is None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rows": 255}, "under 262144 weights"),
        ({"rows": 4, "cols": 4, "scheme": FLOAT32}, "under 16384 weights"),
        ({"vectors": 49}, "49 vectors meet the kernel at a time"),
        ({"vectors": None}, "is not known"),
        ({"vectors": 9, "scheme": FLOAT32}, "up to 8"),
        ({"vectors": 8, "scheme": FLOAT32, "rows": 512}, "up to 8 and 1024 x 1024"),
    ],
)
def test_where_they_were_measured_to_be_slower_the_reason_has_figures(given, reason) -> None:
    assert reason in tflite_blocks.not_worth_it(layer(**given))


@pytest.mark.parametrize("scheme", tflite_blocks.GAINS)
def test_the_evidence_is_that_of_the_nearest_smaller_layer(scheme) -> None:
    sizes = sorted(tflite_blocks.GAINS[scheme])
    for rows, expected in ((1024, 1024), (2047, 1024), (5000, 2048), (512, 512)):
        found = tflite_blocks.evidence(layer(rows, expected if rows < 5000 else 5008, scheme))
        assert f"Dense({expected})" in found[0].source and expected in sizes
        assert [each.condition for each in found] == [tflite_blocks.WARM, tflite_blocks.COLD]


@pytest.mark.parametrize("scheme", tflite_blocks.GAINS_OF_EIGHT)
def test_several_vectors_have_figures_of_their_own(scheme) -> None:
    several = layer(scheme=scheme, vectors=4)
    assert tflite_blocks.not_worth_it(several) is None
    assert all("8 at a time" in each.source and "--batch 8" in each.repeat for each in tflite_blocks.evidence(several))


def test_the_advised_sparsity_is_one_that_no_condition_is_slower_at() -> None:
    large = layer(2048, 2048)
    assert tflite_blocks.pattern(large, tflite_blocks.evidence(large)).sparsity == 0.9
    middle = layer(1024, 1024, INT8)
    assert tflite_blocks.pattern(middle, tflite_blocks.evidence(middle)).sparsity == 0.95
    assert tflite_blocks.pattern(middle, ()).shape == (1, 16)
    assert tflite_blocks.pattern(layer(scheme=FLOAT32), ()).shape == (1, 4)


def test_gains_grow_with_the_zeros() -> None:
    for sizes in tflite_blocks.GAINS.values():
        for conditions in sizes.values():
            for gains in conditions.values():
                assert len(gains) == len(tflite_blocks.SPARSITIES)
                # But for what two measurements of the same differ by.
                assert all(high >= 0.95 * low for low, high in itertools.pairwise(gains))
