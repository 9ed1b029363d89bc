"""Which kernels `reduce_range` keeps within [-64, 64]: those whose products a runtime may add two by two in 16 bits.

ONNX Runtime and OpenVINO do so on x86-64 processors without VNNI (`runtime/saturation.py`), in matrix products and in
convolutions that sum over channels. A depthwise convolution adds in 32 bits there, and so does ConvInteger: they keep
all 8 bits.
"""

import keras

from keras_sparse.int8 import REDUCED_MAX, WEIGHT_MAX
from keras_sparse.targets.network import INT8_WEIGHTS

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
    return WEIGHT_MAX if weights.shape[1] == 1 and groups == len(weights) else REDUCED_MAX


def is_reduced(stored):
    """Whether the int8 kernels of a `StoredModel` of an `.onnx` file are within [-64, 64], but for depthwise ones.

    Full ones have a weight of 127 in every channel that is not all zeros.
    """
    kernels = [each.values for each in stored.tensors if each.values.dtype == "int8" and each.values.ndim >= 2]
    summing = [each for each in kernels if each.ndim == 2 or each.shape[1] > 1] or kernels
    return bool(summing) and all(abs(each.astype(int)).max(initial=0) <= REDUCED_MAX for each in summing)


def _depthwise(kernel):
    shape, axes = kernel.variable.shape, kernel.layout.keras
    if "M" in axes:
        return shape[axes.index("M")] == 1
    groups = getattr(kernel.layer, "groups", 1)
    return "I" in axes and axes != "IO" and shape[axes.index("I")] == 1 and groups == shape[axes.index("O")]
