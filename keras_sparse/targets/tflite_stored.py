"""Sparse tables in `.tflite` files that stock tools write, and what LiteRT gets wrong about them."""

from __future__ import annotations

from keras_sparse.targets.network import DENSE, FLOAT32, Layer
from keras_sparse.targets.tflite_limits import KERNELS, VERSION, densified_fault

REMEDY = "export the model again: the tables that ks.export writes were run before"


def fault(layer: Layer) -> str | None:
    """What LiteRT does wrong with the layer as it is stored, or `None`.

    Seen with LiteRT 2.3.0 on files of TensorFlow 2.21's `Optimize.EXPERIMENTAL_SPARSITY`.
    """
    stored = layer.stored
    if stored is None or stored.block is None:
        return None
    if stored.densified:
        return densified_fault(layer.type, layer.scheme)
    if layer.kind != DENSE:
        return f"a {layer.what} kernel with a sparse table and no DENSIFY before it: only FULLY_CONNECTED reads tables"
    rows, cols = stored.block
    if stored.version != VERSION:
        return (
            f"FULLY_CONNECTED version {stored.version} with a sparse table: XNNPACK takes the compressed weights for "
            f"dense ones, which gives garbage or a crash. Version {VERSION} is right"
        )
    allowed = [(1, KERNELS[layer.scheme].width)] if layer.scheme in KERNELS else []
    if layer.scheme == FLOAT32:
        allowed.append((1, 1))
    if (rows, cols) not in allowed:
        return f"no kernel for {layer.scheme} weights in blocks of {rows}x{cols}; there are those for {allowed}"
    return None if cols == 1 else KERNELS[layer.scheme].fault(layer.cols, stored.fullest_row)
