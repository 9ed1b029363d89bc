"""ONNX Runtime on CPUs: dense, whatever the zeros."""

from __future__ import annotations

from typing import ClassVar

from keras_sparse.targets.contract import Target, Verdict, dense
from keras_sparse.targets.network import FLOAT32, INT8, Network

NO_SPARSE_KERNEL = (
    "ONNX Runtime has no sparse kernel on CPUs: zeros cost as much as other weights at any sparsity. They make files "
    "smaller that are packed or gzipped (target packed)"
)


class ONNXRuntime(Target):
    """ONNX Runtime with its CPU provider."""

    name: ClassVar[str] = "onnxruntime"
    suffix: ClassVar[str | None] = ".onnx"
    schemes: ClassVar[tuple[str, ...]] = (INT8, FLOAT32)
    about: ClassVar[str] = "ONNX Runtime on CPUs; dense int8 is what is fast"

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        return tuple(Verdict(dense(layer), reasons=(NO_SPARSE_KERNEL,)) for layer in network.layers)
