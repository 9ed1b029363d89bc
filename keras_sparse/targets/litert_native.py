"""LiteRT with the native INT8 kernels of keras_sparse, which skip zero blocks (`ks.delegate()`)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

from keras_sparse.pattern import Block
from keras_sparse.targets.contract import Offer, Target, Verdict, dense
from keras_sparse.targets.evidence import MEASURED, Evidence
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, INT8, Layer, Network, Operation

ADVISED = 0.8
ALONG_INPUTS, TILES = (1, 4), (16, 4)
"""Blocks, outputs x inputs: of convolutions; of fully connected layers."""

SPARSITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

CONVOLUTIONS: dict[tuple[int, int, int, int], Sequence[float]] = {
    (16, 64, 64, 1): (0.96, 1.01, 1.07, 1.12, 1.19, 1.25, 1.31),
    (49, 160, 960, 1): (0.89, 1.0, 1.15, 1.39, 1.69, 2.21, 3.1),
    (49, 1024, 1024, 1): (0.51, 0.63, 0.85, 1.21, 1.71, 2.33, 4.81),
    (196, 512, 512, 1): (0.77, 0.96, 1.22, 1.62, 2.11, 3.07, 5.43),
    (125, 64, 64, 1): (1.0, 1.2, 1.33, 1.47, 1.59, 1.78, 2.09),
    (784, 32, 192, 1): (1.26, 1.39, 1.52, 1.71, 1.69, 1.9, 2.34),
    (784, 192, 32, 1): (0.97, 1.03, 1.18, 1.37, 1.54, 1.82, 2.19),
    (3136, 64, 128, 1): (1.16, 1.35, 1.53, 1.76, 1.91, 2.34, 3.01),
    (12544, 32, 64, 1): (1.11, 1.36, 1.49, 1.61, 1.81, 1.97, 2.16),
    (3136, 64, 64, 9): (0.81, 0.92, 1.11, 1.31, 1.75, 2.48, 4.1),
    (196, 256, 256, 9): (0.53, 0.66, 0.82, 1.09, 1.52, 2.14, 4.14),
    (49, 512, 512, 9): (0.51, 0.62, 0.76, 0.96, 1.29, 1.9, 3.62),
    (784, 64, 128, 9): (0.73, 0.84, 0.98, 1.2, 1.45, 1.9, 2.74),
    (196, 256, 512, 1): (0.99, 1.12, 1.25, 1.14, 1.83, 2.13, 3.1),
}
"""{(pixels of the output, inputs, outputs, kernel positions): gain over XNNPACK dense int8 at SPARSITIES}."""

CONNECTED: dict[tuple[int, int], Sequence[float]] = {
    (128, 128): (1.09, 1.13, 1.16, 1.14, 1.18, 1.25, 1.33),
    (256, 256): (1.17, 1.29, 1.19, 1.45, 1.6, 1.76, 1.89),
    (640, 128): (1.16, 1.16, 1.43, 1.55, 1.73, 1.78, 2.23),
    (512, 512): (1.27, 1.17, 1.5, 1.58, 1.86, 2.34, 3.18),
    (1024, 1000): (1.58, 1.88, 2.32, 2.63, 3.62, 5.18, 8.16),
    (2048, 2048): (1.91, 2.18, 2.67, 3.36, 4.2, 5.47, 12.4),
}
"""{(inputs, outputs): the same for a vector at a time}."""

SOURCE = "{0} alone, one thread, AMD EPYC with AVX512-VNNI, LiteRT 2.3.0; bit for bit the same outputs"
REPEAT = "python benchmarks/native_kernels.py --layers"

LEAST_PRODUCTS = 50_000
"""Multiplications of a layer under which a call of a kernel costs more than the layer (`edge/kernels/gain.c`)."""

LEAST_WEIGHTS = 14_000
"""The same for weights that one vector meets."""

MOST_PRODUCTS = 32_766
"""Products of an output, above which sums may overflow; such layers are not taken."""

BETWEEN = "its weights run dense; between sparse convolutions the native kernels take it too, so that no layout changes"
NOT_INT8 = 'the native kernels take static int8 layers only: train with ks.Quantize, or export with quantize="int8"'


class LiteRTNative(Target):
    """`.tflite` files in LiteRT with `ks.delegate()`, on x86-64: ordinary int8 files, which run without it as well."""

    name: ClassVar[str] = "litert-native"
    suffix: ClassVar[str | None] = ".tflite"
    schemes: ClassVar[tuple[str, ...]] = (INT8,)
    about: ClassVar[str] = "LiteRT with the native kernels of keras_sparse (ks.delegate()), on x86-64"

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        operations = {each.name: each for each in network.operations or ()}
        return tuple(_verdict(layer, operations.get(layer.operation or "")) for layer in network.layers)


def _verdict(layer: Layer, operation: Operation | None) -> Verdict:
    refused = _refusal(layer, operation)
    if refused is not None:
        return Verdict(dense(layer), reasons=(refused,))
    offer = Offer(
        Block(_block(layer), ADVISED), f"native {'x'.join(map(str, _block(layer)))}, int8", (evidence(layer),)
    )
    gains = offer.evidence[0].points
    reasons = ("other zeros gain as far as they leave such blocks empty: 2:4 leaves none",)
    fires = layer.sparsity_in(offer.pattern) >= gains[0][0]
    return Verdict(offer.kernel if fires else dense(layer), offer, reasons)


def _refusal(layer: Layer, operation: Operation | None) -> str | None:
    """Why the native kernels do not take a layer, or `None`."""
    if layer.scheme != INT8:
        return NOT_INT8 if layer.float_because is None else f"{NOT_INT8}: {layer.float_because}"
    if layer.kind == DEPTHWISE:
        return BETWEEN
    if layer.kind not in (CONV, DENSE):
        return f"the native kernels take convolutions and fully connected layers, not {layer.what}"
    if layer.vectors is None:
        return "how many vectors meet the kernel at a time is not known"
    if operation is not None and operation.dilation != (1, 1):
        return "the native kernels take no dilated convolutions"
    if layer.kind == DENSE and layer.vectors > 1:
        return f"{layer.vectors} vectors meet the kernel at a time; it was measured for one"
    if layer.cols * layer.positions > MOST_PRODUCTS:
        return f"sums of more than {MOST_PRODUCTS:,} products might overflow"
    if layer.cols < 2 * ALONG_INPUTS[1]:
        return f"{layer.cols} inputs are too few for blocks of {ALONG_INPUTS[1]}"
    if _block(layer) == TILES:
        if layer.size < LEAST_WEIGHTS:
            return f"with under {LEAST_WEIGHTS:,} weights, a call costs more than the layer; taken between sparse ones"
    elif layer.size * layer.vectors < LEAST_PRODUCTS:
        return f"with under {LEAST_PRODUCTS:,} multiplications, a call costs more than the layer"
    return None


def _block(layer: Layer) -> tuple[int, int]:
    """One pixel has no others to share a block with: such a convolution runs as a fully connected layer."""
    return TILES if layer.kind == DENSE or (layer.vectors == 1 and layer.positions == 1) else ALONG_INPUTS


def claimed_from(layer: Layer) -> float:
    """The fraction of zero blocks from which on the library takes a layer, as `edge/kernels/gain.c` has it."""
    if _block(layer) == TILES:
        return 0.5 if layer.size < 200_000 else 0.4
    products = layer.cols * layer.positions
    if layer.positions > 1:
        return 0.58 if products <= 1200 else 0.68
    return 0.5 if products <= 256 else 0.55 if products <= 576 else 0.65


def evidence(layer: Layer) -> Evidence:
    """What was measured of the layer that is most like this one, from where on the library takes it."""
    whole, start = _nearest(layer), claimed_from(layer)
    gain = whole.gain(start)
    assert gain is not None  # within SPARSITIES
    points = ((start, round(gain, 2)), *(point for point in whole.points if point[0] > start))
    return dataclasses.replace(whole, points=points)


def _nearest(layer: Layer) -> Evidence:
    if _block(layer) == TILES:
        inputs, outputs = min(CONNECTED, key=lambda shape: abs(math.log(math.prod(shape) / layer.size)))
        return _measured(f"Dense {inputs} -> {outputs}", CONNECTED[inputs, outputs])
    shapes = [shape for shape in CONVOLUTIONS if (shape[3] > 1) == (layer.positions > 1)]
    pixels = layer.vectors or 1
    nearest = min(
        shapes,
        key=lambda shape: (
            abs(math.log(shape[0] / pixels)) + abs(math.log(shape[1] * shape[3] / (layer.cols * layer.positions)))
        ),
    )
    side = math.isqrt(nearest[3])
    said = f"a {side}x{side} convolution, {nearest[1]} -> {nearest[2]} channels, {nearest[0]} pixels,"
    return _measured(said, CONVOLUTIONS[nearest])


def _measured(what: str, gains: Sequence[float]) -> Evidence:
    points = tuple(zip(SPARSITIES, gains, strict=True))
    return Evidence(MEASURED, "XNNPACK dense int8", SOURCE.format(what), REPEAT, points)
