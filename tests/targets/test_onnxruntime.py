from __future__ import annotations

from keras_sparse.target import named
from keras_sparse.targets.network import CONV, INT8, Layer, Network


def test_no_zeros_pay_in_onnx_runtime() -> None:
    (found,) = named("onnxruntime").verdicts(Network((Layer("k", CONV, "Conv", 1, 8, 8, INT8, zeros=64),)))
    assert (found.kernel, found.offer) == ("dense int8", None)
    assert "at any sparsity" in found.reasons[0]
