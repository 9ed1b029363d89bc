from __future__ import annotations

import pytest

from keras_sparse.target import named
from keras_sparse.targets.network import CONV, DENSE, FLOAT32, INT8, Layer, Network


def verdict(kind=DENSE, rows=128, cols=64, scheme=INT8):
    return named("openvino").verdicts(Network((Layer("k", kind, "Dense", 1, rows, cols, scheme),)))[0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"rows": 100}, "multiples of 64; the layer is 100 x 64"),
        ({"cols": 96}, "multiples of 64; the layer is 128 x 96"),
        ({"kind": CONV}, "this is a conv kernel"),
        ({"scheme": FLOAT32}, "only int8"),
    ],
)
def test_only_large_int8_matrix_products_have_sparse_weights(given, reason) -> None:
    found = verdict(**given)
    assert found.offer is None and reason in found.reasons[0]


def test_what_was_not_measured_is_offered_as_such() -> None:
    found = verdict()
    assert found.offer.evidence == () and not found.offer.pays and found.offer.break_even is None
    assert "AMX" in found.reasons[0] and "has not been measured" in found.reasons[0]
    assert found.kernel == "dense int8"
