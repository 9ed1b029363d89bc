"""Stores float weights of a `.tflite` graph as int8, where activations stay float.

A convolution or FULLY_CONNECTED that reads them itself measures the range of its input at run time and computes in int8
(a hybrid operation). What has no such kernel, or should compute in float, reads them through DEQUANTIZE, which runtimes
carry out once, at load.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse import int8
from keras_sparse.exporting.tflite_model import text

HYBRID = {"CONV_2D": 5, "FULLY_CONNECTED": 12}
"""Operations with hybrid kernels for one scale per output channel: the version that has them."""

DEQUANTIZE = {"int8": 5, "float16": 3}
"""The version of DEQUANTIZE that takes a type: for int8, with one scale per channel."""

FLOAT_FULLY_CONNECTED = 5
"""The version of a float FULLY_CONNECTED that keeps the axes of its input."""


def store_int8(graph, index, axis, hybrid=True):
    """Makes the float constant of that index int8: symmetric, with one scale for each place along `axis`.

    Args:
        graph: a `tflite_model.Graph`.
        hybrid: whether operations that can may compute with the integers; otherwise all read them dequantized.

    Returns:
        The index of the int8 constant.
    """
    values = graph.constant(index)
    channels = tuple(each % values.ndim for each in (axis,))
    scale = int8.weight_scale(values, channels)
    integers, tensor = int8.quantize_weights(values, scale), graph.tensors[index]
    quantization = per_channel(scale.ravel(), channels[0])
    users = graph.users(index)
    if hybrid and all(graph.name(op) in HYBRID and op.inputs[1] == index for op in users):
        graph.set_constant(index, integers)
        tensor.quantization = quantization
        for op in users:
            graph.set_version(op, HYBRID[graph.name(op)])
            if hasattr(op.builtinOptions, "asymmetricQuantizeInputs"):
                op.builtinOptions.asymmetricQuantizeInputs = True
        return index
    stored = graph.add_constant(f"{text(tensor.name)}/int8", integers, quantization)
    through(graph, index, stored, "int8")
    return stored


def dequantize(graph, index):
    """Makes the operations that read the int8 constant of that index, hybrid ones, read it dequantized."""
    tensor, users = graph.tensors[index], graph.users(index)
    made = graph.add_tensor(f"{text(tensor.name)}/float", tensor.shape, "float32")
    for op in users:
        op.inputs = [made if each == index else each for each in op.inputs]
        keeps = getattr(op.builtinOptions, "keepNumDims", False)
        graph.set_version(op, FLOAT_FULLY_CONNECTED if keeps else 1)
    graph.add_operator("DEQUANTIZE", [index], [made], schema.DequantizeOptionsT(), DEQUANTIZE["int8"], before=users[0])


def through(graph, index, stored, dtype):
    """The constant of that index is made by DEQUANTIZE from the tensor `stored`."""
    tensor = graph.tensors[index]
    tensor.buffer = 0
    graph.add_operator(
        "DEQUANTIZE", [stored], [index], schema.DequantizeOptionsT(), DEQUANTIZE[dtype], before=graph.users(index)[0]
    )


def per_channel(scale, axis):
    """Quantization parameters of symmetric int8 weights."""
    return schema.QuantizationParametersT(
        scale=np.asarray(scale, np.float32), zeroPoint=np.zeros(len(scale), np.int64), quantizedDimension=axis
    )
