"""ONNX Runtime on CPUs: dense, whatever the zeros."""

from __future__ import annotations

from typing import ClassVar

from keras_sparse.targets.contract import Target, Verdict, dense
from keras_sparse.targets.network import DEPTHWISE, FLOAT32, INT8, Layer, Network

NO_SPARSE_KERNEL = (
    "ONNX Runtime has no sparse kernel on CPUs: zeros cost as much as other weights at any sparsity. They make files "
    "smaller that are packed or gzipped (target packed)"
)

REDUCED_RANGE = (
    "ks.export writes its int8 weights from -64 to 64 (7 bits, reduce_range=True): x86-64 processors without VNNI cut "
    "off sums of two products of larger ones. reduce_range=False keeps 8 bits, for processors with VNNI and ARM64 only"
)


class ONNXRuntime(Target):
    """ONNX Runtime with its CPU provider."""

    name: ClassVar[str] = "onnxruntime"
    suffix: ClassVar[str | None] = ".onnx"
    schemes: ClassVar[tuple[str, ...]] = (INT8, FLOAT32)
    saturates: ClassVar[bool] = True
    about: ClassVar[str] = "ONNX Runtime on CPUs; dense int8 is what is fast"

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        return tuple(
            Verdict(dense(layer), reasons=(NO_SPARSE_KERNEL, *reduced_range(layer))) for layer in network.layers
        )


def reduced_range(layer: Layer) -> tuple[str, ...]:
    """What is to be known of the layer's weights, if anything."""
    exported = layer.stored is None  # what is in a file is for `keras-sparse verify` to say
    return (REDUCED_RANGE,) if exported and layer.scheme == INT8 and layer.kind != DEPTHWISE else ()
