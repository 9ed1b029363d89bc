from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.target import named
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, FLOAT16, FLOAT32, INT8, Layer, Network


def verdict(kind=CONV, cols=8, scheme=INT8, kept=None):
    zeros = 0 if kept is None else int((~kept).sum())
    layer = Layer("k", kind, "Conv2D", 1, 4, cols, scheme, zeros=zeros, kept=kept)
    return named("tensorrt").verdicts(Network((layer,)))[0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"cols": 3}, "multiple of 4 input channels; the layer has 3"),
        ({"kind": DEPTHWISE}, "not depthwise kernels"),
        ({"scheme": FLOAT32}, "int8 (QDQ) or float16; the layer is float32"),
    ],
)
def test_what_sparse_tensor_cores_do_not_take_is_refused(given, reason) -> None:
    found = verdict(**given)
    assert found.offer is None and reason in found.reasons[0]


@pytest.mark.parametrize("scheme", [INT8, FLOAT16])
@pytest.mark.parametrize("kind", [CONV, DENSE])
def test_two_of_four_is_offered_and_cited(kind, scheme) -> None:
    found = verdict(kind, scheme=scheme)
    assert (found.offer.pattern.n, found.offer.pattern.m) == (2, 4)
    assert found.offer.break_even == 0.5 and found.offer.evidence[0].span == (1.0, 1.2)
    assert found.kernel == f"dense {scheme}"


def test_a_layer_that_is_two_of_four_runs_sparse() -> None:
    half = np.tile([True, False, False, True], (1, 4, 2))
    assert verdict(kept=half).kernel == "sparse tensor cores (2:4)"
    half[0, 3, 5] = True  # three of one group
    assert verdict(kept=half).kernel == "dense int8"
