"""OpenVINO on CPUs: packed sparse weights for int8 matrix products, with AMX only."""

from __future__ import annotations

from typing import ClassVar

from keras_sparse.pattern import Unstructured
from keras_sparse.targets.contract import Offer, Target, Verdict, dense
from keras_sparse.targets.network import DENSE, FLOAT32, INT8, Layer, Network
from keras_sparse.targets.onnxruntime import reduced_range

KERNEL = "sparse weights decompression (AMX)"
TILE = 64
ADVISED = 0.8


class OpenVINO(Target):
    """OpenVINO's CPU plugin."""

    name: ClassVar[str] = "openvino"
    suffix: ClassVar[str | None] = ".onnx"
    schemes: ClassVar[tuple[str, ...]] = (INT8, FLOAT32)
    saturates: ClassVar[bool] = True
    about: ClassVar[str] = "OpenVINO on CPUs; zeros matter with AMX only, in large int8 Dense layers"

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        return tuple(self._verdict(layer) for layer in network.layers)

    def _verdict(self, layer: Layer) -> Verdict:
        refused = refusal(layer)
        if refused:
            return Verdict(dense(layer), reasons=(refused, *reduced_range(layer)))
        note = (
            "with AMX, and only with the property CPU_SPARSE_WEIGHTS_DECOMPRESSION_RATE set to at most the layer's "
            "fraction of zeros; weights are loaded packed and multiplied dense. Its gain has not been measured"
        )
        return Verdict(dense(layer), Offer(Unstructured(ADVISED), KERNEL, (), ("AMX",)), (note, *reduced_range(layer)))


def refusal(layer: Layer) -> str | None:
    """Why sparse weights cannot be used in the layer, or `None`."""
    if layer.kind != DENSE:
        return f"only matrix products have sparse weights in OpenVINO, and only with AMX; this is a {layer.what} kernel"
    if layer.scheme != INT8:
        return f"only int8 matrix products have sparse weights in OpenVINO; the layer is {layer.scheme}" + (
            f", because: {layer.float_because}" if layer.float_because else ""
        )
    if layer.rows % TILE or layer.cols % TILE:
        return f"both dimensions must be multiples of {TILE}; the layer is {layer.rows} x {layer.cols}"
    return None
