"""NVIDIA TensorRT: 2:4 along the input channels, in sparse tensor cores."""

from __future__ import annotations

from typing import ClassVar

from keras_sparse.pattern import NofM
from keras_sparse.targets.contract import Offer, Target, Verdict, dense
from keras_sparse.targets.evidence import CITED, Evidence
from keras_sparse.targets.network import CONV, DENSE, FLOAT16, FLOAT32, INT8, Layer, Network

KERNEL = "sparse tensor cores (2:4)"
GROUP = 4

EVIDENCE = Evidence(
    CITED,
    against="dense, same precision",
    source="NVIDIA, ResNeXt-101-32x8d on an A100 with TensorRT 8.0: up to 1.2x, more with larger batches",
    repeat="https://developer.nvidia.com/blog/"
    "accelerating-inference-with-sparsity-using-ampere-and-tensorrt/; trtexec --sparsity=enable",
    span=(1.0, 1.2),
    threshold=0.5,
    condition="processors from Ampere on, built with the SPARSE_WEIGHTS flag",
)


class TensorRT(Target):
    """TensorRT on NVIDIA processors from Ampere on."""

    name: ClassVar[str] = "tensorrt"
    suffix: ClassVar[str | None] = ".onnx"
    schemes: ClassVar[tuple[str, ...]] = (INT8, FLOAT16, FLOAT32)
    about: ClassVar[str] = "TensorRT on NVIDIA processors from Ampere on; 2:4 along the input channels"

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        return tuple(self._verdict(layer) for layer in network.layers)

    def _verdict(self, layer: Layer) -> Verdict:
        refused = refusal(layer)
        if refused:
            return Verdict(dense(layer), reasons=(refused,))
        offer = Offer(NofM(2, GROUP), KERNEL, (EVIDENCE,))
        fires = layer.sparsity_in(offer.pattern) > 0
        note = "TensorRT times the sparse and the dense kernel when it builds, and takes the faster one"
        return Verdict(KERNEL if fires else dense(layer), offer, (note,))


def refusal(layer: Layer) -> str | None:
    """Why 2:4 cannot run in the layer, or `None`.

    Groups of four lie along the input channels of each output channel, at every kernel position.
    """
    if layer.kind not in (DENSE, CONV):
        return f"sparse tensor cores run convolutions without groups and matrix products, not {layer.what} kernels"
    if layer.cols % GROUP:
        return f"2:4 needs a multiple of 4 input channels; the layer has {layer.cols}"
    if layer.scheme not in (INT8, FLOAT16):
        return f"sparse tensor cores take int8 (QDQ) or float16; the layer is {layer.scheme}" + (
            f", because: {layer.float_because}" if layer.float_because else ""
        )
    return None
