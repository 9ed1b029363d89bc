"""Sparse tables in `.tflite` files that stock tools write, and what LiteRT gets wrong about them."""

from __future__ import annotations

from keras_sparse.targets.network import CONV, DENSE, FLOAT32, INT8, INT8_WEIGHTS, Layer
from keras_sparse.targets.tflite_blocks import HYBRID_BLOCKS, HYBRID_INPUTS, VERSION, WIDTH

REMEDY = "export the model again: the tables that ks.export writes were run before"


def fault(layer: Layer) -> str | None:
    """What LiteRT does wrong with the layer as it is stored, or `None`.

    Seen with LiteRT 2.3.0 on files of TensorFlow 2.21's `Optimize.EXPERIMENTAL_SPARSITY`.
    """
    stored = layer.stored
    if stored is None or stored.block is None:
        return None
    if stored.densified:
        return _densified(layer)
    if layer.kind != DENSE:
        return f"a {layer.what} kernel with a sparse table and no DENSIFY before it: only FULLY_CONNECTED reads tables"
    rows, cols = stored.block
    if stored.version != VERSION:
        return (
            f"FULLY_CONNECTED version {stored.version} with a sparse table: XNNPACK takes the compressed weights for "
            f"dense ones, which gives garbage or a crash. Version {VERSION} is right"
        )
    allowed = [(1, WIDTH[layer.scheme])] if layer.scheme in WIDTH else []
    if layer.scheme == FLOAT32:
        allowed.append((1, 1))
    if (rows, cols) not in allowed:
        return f"no kernel for {layer.scheme} weights in blocks of {rows}x{cols}; there are those for {allowed}"
    if layer.cols % cols:
        return f"{layer.cols} inputs are no multiple of {cols}: the trailing ones are dropped"
    if layer.scheme == INT8_WEIGHTS and layer.cols > HYBRID_INPUTS:
        return f"{layer.cols} inputs: above {HYBRID_INPUTS} the hybrid kernel's block numbers overflow, and it is wrong"
    if layer.scheme == INT8_WEIGHTS and stored.fullest_row > HYBRID_BLOCKS:
        return f"a row of {stored.fullest_row} blocks: the hybrid kernel counts to {HYBRID_BLOCKS}, and is wrong"
    return None


def _densified(layer: Layer) -> str | None:
    if layer.kind == DENSE and layer.scheme in (INT8, INT8_WEIGHTS):
        return f"{layer.scheme} FULLY_CONNECTED behind DENSIFY: LiteRT fails to prepare it, and the file does not load"
    if layer.kind == CONV and layer.scheme == INT8_WEIGHTS:
        return "int8-weights CONV_2D behind DENSIFY: the file does not load"
    return None
