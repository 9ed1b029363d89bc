"""Which kernels `reduce_range` keeps within [-64, 64]: those whose products a runtime may add two by two in 16 bits.

ONNX Runtime and OpenVINO do so on x86-64 processors without VNNI (`runtime/saturation.py`), in matrix products and in
convolutions that sum over channels. A depthwise convolution adds in 32 bits there, and so does ConvInteger: they keep
all 8 bits.
"""

import keras

from keras_sparse.int8 import REDUCED_MAX, WEIGHT_MAX
from keras_sparse.runtime.saturation import depthwise
from keras_sparse.targets.network import INT8_WEIGHTS

KEY = "keras_sparse.reduce_range"
"""Of the metadata of an `.onnx` file, where its kernels are so."""

NOTE = (
    "int8 weights are from -64 to 64 (7 bits; reduce_range=True), but for those of depthwise convolutions and "
    "ConvInteger: so the file computes the same on x86-64 processors without VNNI, where ONNX Runtime and OpenVINO add "
    "two products in 16 bits"
)
"""What a report says of a file with such kernels."""


def largest(kernel, scheme):
    """The largest int8 weight of a `Kernel` in a file of a scheme with `reduce_range`."""
    if scheme == INT8_WEIGHTS:
        return REDUCED_MAX if isinstance(kernel.layer, keras.layers.Dense) else WEIGHT_MAX
    return WEIGHT_MAX if _depthwise(kernel) else REDUCED_MAX


def largest_at(node, weights, groups):
    """The same for an operation of a graph, its weights and its number of groups."""
    if node.op_type != "Conv":
        return REDUCED_MAX
    return WEIGHT_MAX if depthwise(weights, groups) else REDUCED_MAX


def _depthwise(kernel):
    shape, axes = kernel.variable.shape, kernel.layout.keras
    if "M" in axes:
        return shape[axes.index("M")] == 1
    groups = getattr(kernel.layer, "groups", 1)
    return "I" in axes and axes != "IO" and shape[axes.index("I")] == 1 and groups == shape[axes.index("O")]
