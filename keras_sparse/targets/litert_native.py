"""LiteRT with the native INT8 kernels of keras_sparse, which skip zero blocks (`ks.delegate()`)."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

from keras_sparse.pattern import Block
from keras_sparse.targets import native_gains
from keras_sparse.targets.contract import Offer, Target, Verdict, dense
from keras_sparse.targets.evidence import MEASURED, Evidence
from keras_sparse.targets.native_gains import Gains, Points
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, INT8, Layer, Network, Operation

ADVISED = 0.8
ALONG_INPUTS, TILES = (1, 4), (16, 4)
"""Blocks, outputs x inputs: of convolutions; of fully connected layers."""

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
    known = evidence(layer)
    if not known:
        return Verdict(dense(layer), reasons=("no zeros made the native kernels faster for such layers",))
    offer = Offer(Block(_block(layer), ADVISED), f"native {'x'.join(map(str, _block(layer)))}, int8", known)
    reasons: tuple[str, ...] = ("other zeros gain as far as they leave such blocks empty: 2:4 leaves none",)
    zeros = layer.sparsity_in(offer.pattern)
    takes = [each.condition for each in known if zeros >= each.points[0][0]]
    everywhere = len(takes) == len(native_gains.measured())
    if takes and not everywhere:
        reasons = (f"as it is, taken on processors with {' and '.join(takes)} only", *reasons)
    return Verdict(offer.kernel if everywhere else dense(layer), offer, reasons)


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


def claimed_from(layer: Layer, kernels: str) -> float | None:
    """The fraction of zero blocks from which on the library takes a layer with these kernels; `None` for never.

    Args:
        kernels: of which processor, as `ks.delegate` calls them.
    """
    known = native_gains.measured()[kernels]
    if _block(layer) == TILES:
        return known.break_even("16x4", layer.size)
    return known.break_even("kxk" if layer.positions > 1 else "1x1", layer.cols * layer.positions)


def evidence(layer: Layer) -> tuple[Evidence, ...]:
    """What was measured of the layer that is most like this one, from where on the library takes it, by processor."""
    return tuple(
        _evidence(layer, known, start)
        for kernels, known in native_gains.measured().items()
        if (start := claimed_from(layer, kernels)) is not None
    )


def _evidence(layer: Layer, known: Gains, start: float) -> Evidence:
    whole = _nearest(layer, known)
    gain = whole.gain(start)
    assert gain is not None  # within what was measured
    points = ((start, round(gain, 2)), *(point for point in whole.points if point[0] > start))
    return dataclasses.replace(whole, points=points)


def _nearest(layer: Layer, known: Gains) -> Evidence:
    if _block(layer) == TILES:
        inputs, outputs = min(known.connected, key=lambda shape: abs(math.log(math.prod(shape) / layer.size)))
        return _measured(f"Dense {inputs} -> {outputs}", known, known.connected[inputs, outputs])
    shapes = [shape for shape in known.convolutions if (shape[3] > 1) == (layer.positions > 1)]
    pixels = layer.vectors or 1
    nearest = min(
        shapes,
        key=lambda shape: (
            abs(math.log(shape[0] / pixels)) + abs(math.log(shape[1] * shape[3] / (layer.cols * layer.positions)))
        ),
    )
    side = math.isqrt(nearest[3])
    said = f"a {side}x{side} convolution, {nearest[1]} -> {nearest[2]} channels, {nearest[0]} pixels,"
    return _measured(said, known, known.convolutions[nearest])


def _measured(what: str, known: Gains, gains: Points) -> Evidence:
    machine = f"{known.machine}, LiteRT {known.litert}"
    source = f"{known.kernels}, {what} alone, one thread, {machine}; bit for bit the same outputs"
    return Evidence(MEASURED, "XNNPACK dense int8", source, known.command, gains, condition=known.kernels)
