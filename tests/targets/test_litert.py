from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from keras_sparse.pattern import Block, Unstructured
from keras_sparse.target import named
from keras_sparse.targets import xnnpack_cnn as cnn
from keras_sparse.targets.network import (
    CONV,
    DENSE,
    DEPTHWISE,
    FLOAT16,
    FLOAT32,
    INT8,
    INT8_WEIGHTS,
    Layer,
    Network,
    Operation,
    Stored,
)

ALL_1 = ((1, 1), (1, 1))
OPERATIONS = (
    Operation("entry", CONV, (0,), (1,), kernel=(3, 3), strides=(2, 2), channels=3, size=(8, 8), padding=ALL_1),
    Operation("point", CONV, (1,), (2,), channels=8),
    Operation("mean", cnn.MEAN, (2,), (3,)),
)


def conv_net(sparsity=0.0, scheme=FLOAT32, stored=None, keepdims=True):
    kept = np.ones((1, 16, 8), bool)
    kept.reshape(-1)[: round(sparsity * kept.size)] = False
    zeros = int((~kept).sum())
    point = Layer("point/kernel", CONV, "Conv2D", 1, 16, 8, scheme, zeros, kept, 16, "point", stored)
    entry = Layer("entry/kernel", CONV, "Conv2D", 9, 8, 3, scheme, vectors=16, operation="entry")
    operations = (*OPERATIONS[:2], replace(OPERATIONS[2], keepdims=keepdims))
    return Network((entry, point), operations, (3,))


def point(target, network):
    return named(target).verdicts(network)[1]


def test_sparse_convolutions_pay_on_arm_and_not_on_x86() -> None:
    arm = point("litert-arm64", conv_net())
    assert arm.offer.pattern == Block((4, 1), 0.8) and arm.offer.kernel == "XNNPACK sparse (SpMM)"
    assert arm.offer.break_even == pytest.approx(2 / 3) and arm.offer.evidence[0].span == (1.2, 2.4)
    assert any("dense int8" in reason for reason in arm.reasons)
    x86 = point("litert-x86", conv_net())
    assert x86.offer is None and "switched off on x86 with AVX" in x86.reasons[0]
    both = point("litert", conv_net())
    assert both.offer.pattern == Unstructured(0.8)
    assert [each.condition for each in both.offer.evidence] == ["AArch64", "x86 with AVX"]


@pytest.mark.parametrize(("sparsity", "kernel"), [(0.66, "dense float32"), (0.67, "XNNPACK sparse (SpMM)")])
def test_they_run_sparse_above_two_thirds(sparsity, kernel) -> None:
    assert point("litert-arm64", conv_net(sparsity)).kernel == kernel
    assert point("litert-x86", conv_net(sparsity)).kernel == "dense float32"


def test_a_file_needs_a_densify_and_the_very_form() -> None:
    dense, densified = Stored("dense", 1), Stored("CSR + DENSIFY", 1, (1, 1), True, 1)
    assert point("litert-arm64", conv_net(0.9, stored=densified)).kernel == "XNNPACK sparse (SpMM)"
    without = point("litert-arm64", conv_net(0.9, stored=dense))
    assert without.kernel == "dense float32" and "DENSIFY" in without.reasons[-1]
    form = point("litert-arm64", conv_net(0.9, stored=densified, keepdims=False))
    assert form.kernel == "densified: dense float32" and "mean drops height and width" in form.reasons[1]
    # A model is yet to be written, in the form that is asked for.
    assert point("litert-arm64", conv_net(0.9, keepdims=False)).kernel == "XNNPACK sparse (SpMM)"


def test_outside_the_pattern_the_first_condition_that_fails_is_the_reason() -> None:
    network = conv_net()
    broken = Network(network.layers, (replace(OPERATIONS[0], channels=1), *OPERATIONS[1:]), (3,))
    verdict = point("litert-arm64", broken)
    assert verdict.offer is None and "entry reads 1 channels" in verdict.reasons[0]
    graphless = Network(network.layers, None, no_graph_because="a subclassed model")
    assert "a subclassed model" in point("litert-arm64", graphless).reasons[0]


@pytest.mark.parametrize("target", ["litert", "litert-x86", "litert-arm64"])
@pytest.mark.parametrize("scheme", [INT8, INT8_WEIGHTS])
def test_no_processor_has_sparse_int8_convolutions(target, scheme) -> None:
    verdict = point(target, conv_net(0.9, scheme))
    assert (verdict.offer, verdict.kernel) == (None, f"dense {scheme}")
    assert "no int8 sparse kernel on any processor" in verdict.reasons[0]


def test_depthwise_and_3x3_kernels_have_nothing() -> None:
    layers = (
        Layer("d", DEPTHWISE, "DepthwiseConv2D", 1, 8, 9, FLOAT32),
        Layer("c", CONV, "Conv2D", 9, 8, 8, FLOAT32),
    )
    first, second = named("litert-arm64").verdicts(Network(layers, ()))
    assert "depthwise" in first.reasons[0] and "1x1 convolutions only" in second.reasons[0]


def fully_connected(target, scheme, sparsity=0.0, stored=None, size=2048):
    width = 4 if scheme == FLOAT32 else 16
    kept = np.ones((size * size // width, width), bool)
    kept[: round(sparsity * len(kept))] = False
    kept = np.random.default_rng(0).permutation(kept).reshape(1, size, size)
    zeros = int((~kept).sum())
    layer = Layer("d", DENSE, "Dense", 1, size, size, scheme, zeros, kept, 1, None, stored)
    return named(target).verdicts(Network((layer,), ()))[0]


@pytest.mark.parametrize(("scheme", "pattern"), [(INT8, (1, 16)), (INT8_WEIGHTS, (1, 16)), (FLOAT32, (1, 4))])
def test_block_kernels_are_offered_with_what_was_measured(scheme, pattern) -> None:
    verdict = fully_connected("litert-x86", scheme)
    assert verdict.offer.pattern.shape == pattern and verdict.offer.pays
    assert verdict.kernel == f"dense {scheme}"
    assert {each.condition for each in verdict.offer.evidence} == {"cached", "from memory"}
    assert all("block_kernels.py" in each.repeat for each in verdict.offer.evidence)
    sparse = fully_connected("litert-x86", scheme, 0.95)
    assert sparse.kernel == verdict.offer.kernel


def test_a_break_even_is_where_no_condition_is_slower() -> None:
    verdict = fully_connected("litert-x86", INT8_WEIGHTS)
    found = [each.break_even for each in verdict.offer.evidence]
    assert verdict.offer.break_even == max(found)
    below = fully_connected("litert-x86", INT8_WEIGHTS, max(found) - 0.02)
    assert below.kernel == "dense int8-weights"


def test_on_arm_block_kernels_were_not_measured() -> None:
    verdict = fully_connected("litert-arm64", INT8_WEIGHTS, 0.95)
    assert verdict.offer.evidence == () and not verdict.offer.pays and verdict.kernel == "dense int8-weights"
    assert "SDOT; its gain has not been measured" in verdict.reasons[0]
    both = fully_connected("litert", INT8_WEIGHTS)
    assert "AArch64" in both.reasons[0] and both.offer.unmeasured == ("AArch64",) and len(both.offer.evidence) == 2
    assert not both.offer.pays  # it does on x86, and nobody knows about the rest


def test_where_one_condition_is_slower_an_offer_does_not_pay() -> None:
    verdict = fully_connected("litert-x86", INT8, size=512)
    assert not verdict.offer.pays and verdict.offer.break_even is None
    assert "slower than dense under one of the conditions" in verdict.reasons


def test_a_file_runs_what_it_stores() -> None:
    dense = fully_connected("litert-x86", INT8_WEIGHTS, 0.95, Stored("dense", 1, version=8))
    assert dense.kernel == "dense int8-weights"  # its zeros are where a block kernel could not see them
    table = Stored("blocks 1x16", 1, (1, 16), version=8)
    assert fully_connected("litert-x86", INT8_WEIGHTS, 0.1, table).kernel == "TFLite block kernel 1x16, int8-weights"
    broken = fully_connected("litert-x86", INT8_WEIGHTS, 0.95, replace(table, version=12))
    assert broken.fault is not None and broken.kernel == "none that is right"


def test_float16_weights_have_no_block_kernel() -> None:
    assert "made float32" in fully_connected("litert-x86", FLOAT16).reasons[0]
