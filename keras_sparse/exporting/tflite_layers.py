"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED of int8, seen alike: sums of weights times channels, at taps."""

import math
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting import tflite_kernels
from keras_sparse.exporting.tflite_checked import NONE
from keras_sparse.exporting.tflite_kernels import Kernel
from keras_sparse.exporting.tflite_model import TYPES
from keras_sparse.exporting.tflite_rounding import INT32, LIMITS

KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Where the weights of a kind have their output channels."""

MOST_TAPS = 1 << 24
"""Kernel positions times positions of an output: where there are more, a layer is not looked into. Real ones are far
below: a 7x7 kernel on 1024 x 1024 pixels has 2^13, as most positions see the same."""


class NotUnderstoodError(ValueError):
    """Why an operation is left as it is."""


@dataclass
class Layer:
    """One operation. Taps are kernel positions, or the positions of an input that FULLY_CONNECTED flattens.

    Shapes, by example of a CONV_2D 3x3, 8 -> 16: weights (16, 9, 8), int8, and bias (16,), int64. DEPTHWISE_CONV_2D has
    one input channel for each output channel: weights (16, 9, 1). `windows` (n, 9) are the different sets of taps that
    lie inside the input, at some position of the output; the others meet padding and add nothing.
    """

    operator: object
    kind: str
    source: int
    result: int
    weights: np.ndarray
    bias: np.ndarray
    windows: np.ndarray
    multiplier: np.ndarray  # (16,): scale of accumulators over scale of the output
    source_zero: int
    result_scale: float
    result_zero: int
    activation: int
    inputs: np.ndarray  # for DEPTHWISE_CONV_2D the input channel of each output channel
    columns: int  # outputs of one channel; the batch counts as 1 where it is free
    kernel: Kernel  # the weights as they are stored

    @property
    def depthwise(self):
        return self.kind == "DEPTHWISE_CONV_2D"

    def stored(self, outputs, inputs):
        """The weights of the channels in two masks as the file stores them."""
        size = self.kernel.values.shape
        if self.depthwise:
            return np.moveaxis(self.weights[outputs].reshape(-1, *size[1:3]), 0, 2)[None]
        return self.weights[outputs][:, :, inputs].reshape(outputs.sum(), *size[1:-1], -1)

    @property
    def channels_at_once(self):
        """Input channels of which a multiple must be left, so that their taps fill the blocks of the weights."""
        block = self.kernel.inputs_at_once()
        return block // math.gcd(block, self.weights.shape[1])

    def spread(self, values):
        """Values of input channels as weights meet them: (outputs or 1, 1, inputs)."""
        return values[self.inputs][:, None, None] if self.depthwise else values[None, None, :]

    def accumulators(self, lowest, highest):
        """`(low, high)` of the accumulator of each output channel, with input channels in `[lowest, highest]`.

        Exact: sums of products of 8 bits and less than 2^37 terms are integers in float64.
        """
        low, high = (self.spread(each - self.source_zero).astype(np.float64) for each in (lowest, highest))
        weights = self.weights.astype(np.float64)
        positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
        taps = (positive * low + negative * high).sum(2), (positive * high + negative * low).sum(2)
        inside = self.windows.T.astype(np.float64)
        return (taps[0] @ inside).min(1) + self.bias, (taps[1] @ inside).max(1) + self.bias


def find(graph):
    """`({place: Layer}, {place: reason})` of the operations of `KINDS`, by their place in the graph."""
    layers, reasons = {}, {}
    for place, operator in enumerate(graph.operators):
        if graph.name(operator) in KINDS:
            try:
                layers[place] = _layer(graph, operator)
            except NotUnderstoodError as error:
                reasons[place] = str(error)
    return layers, reasons


def shape(graph, tensor):
    """The shape of a tensor, or `None` if it is not known. Sizes that are free are `None`; the batch may be."""
    tensor = graph.tensors[tensor]
    if tensor.shape is None or len(tensor.shape) == 0:
        return () if tensor.hasRank and tensor.shape is not None else None
    signature = tensor.shapeSignature
    free = [n < 0 for n in signature] if signature is not None and len(signature) else [False] * len(tensor.shape)
    return tuple(None if open_ else int(n) for n, open_ in zip(tensor.shape, free, strict=True))


def is_int8(graph, tensor):
    """Whether a tensor holds int8."""
    return graph.tensors[tensor].type == TYPES["int8"]


def grid(graph, tensor):
    """`(scale, zero point)` of an int8 tensor with one scale, else `None`."""
    quantization = graph.tensors[tensor].quantization
    if not is_int8(graph, tensor) or quantization is None or quantization.scale is None:
        return None
    if len(quantization.scale) != 1 or not _usable(quantization.scale):
        return None
    zero = quantization.zeroPoint
    return float(quantization.scale[0]), int(zero[0]) if zero is not None and len(zero) else 0


def _usable(scales):
    return bool(np.isfinite(scales).all() and (np.asarray(scales) > 0).all())


def _layer(graph, operator):
    kind, options = graph.name(operator), operator.builtinOptions
    source, kernel = int(operator.inputs[0]), int(operator.inputs[1])
    result = int(operator.outputs[0])
    if not is_int8(graph, kernel) and not is_int8(graph, source):
        raise NotUnderstoodError(f"its types are {_type(graph, source)} and {_type(graph, kernel)}, not int8")
    if not is_int8(graph, source) or not is_int8(graph, result):
        raise NotUnderstoodError("its weights are int8, its activations are not")
    if grid(graph, source) is None or grid(graph, result) is None:
        raise NotUnderstoodError("its activations do not have one scale")
    if any(graph.tensors[each].isVariable or not (shape(graph, each) or [0])[-1] for each in (source, result)):
        raise NotUnderstoodError("the number of its channels is not fixed")
    try:
        found = tflite_kernels.find(graph, kernel) if is_int8(graph, kernel) else None
    except ValueError as error:
        raise NotUnderstoodError(f"its weights are stored sparse: {error}") from error
    if found is None:
        raise NotUnderstoodError("its weights are not an int8 constant")
    values = found.values
    if options is None or options.fusedActivationFunction not in LIMITS:
        raise NotUnderstoodError("its activation is not known")
    weights, windows, inputs = _arranged(graph, operator, kind, values)
    scales = _scales(graph, kernel, len(weights), AXES[kind])
    (scale, source_zero), (result_scale, result_zero) = grid(graph, source), grid(graph, result)
    return Layer(
        operator, kind, source, result, weights, _bias(graph, operator, len(weights)), windows,
        scale * scales / result_scale, source_zero, result_scale, result_zero, options.fusedActivationFunction, inputs,
        math.prod(n or 1 for n in shape(graph, result)[:-1]), found,
    )  # fmt: skip


def _type(graph, tensor):
    code = graph.tensors[tensor].type
    return next((name.lower() for name, each in vars(schema.TensorType).items() if each == code), f"of type {code}")


def _arranged(graph, operator, kind, values):
    """`(weights, windows, inputs)` of the layer."""
    size = shape(graph, operator.inputs[0])
    channels = size[-1]
    if kind == "FULLY_CONNECTED":
        if operator.builtinOptions.weightsFormat or values.shape[1] % channels:
            raise NotUnderstoodError("its weights are shuffled, or do not fit its input")
        weights = values.reshape(len(values), -1, channels)
        return weights, np.ones((1, weights.shape[1]), bool), np.arange(channels)
    if kind == "CONV_2D":
        if values.shape[3] != channels:
            raise NotUnderstoodError("it is a grouped convolution")
        weights, inputs = values.reshape(len(values), -1, channels), np.arange(channels)
    else:
        count = values.shape[3]
        if values.shape[0] != 1 or count % channels:
            raise NotUnderstoodError("its weights do not fit its input")
        weights, inputs = np.moveaxis(values, 3, 0).reshape(count, -1, 1), np.arange(count) // (count // channels)
    if len(size) != 4 or None in size[1:3]:
        raise NotUnderstoodError("the height or width of its input is free")
    options = operator.builtinOptions
    rows, columns = (
        _windows(n, kernel, stride, dilation, options.padding == schema.Padding.SAME)
        for n, kernel, stride, dilation in (
            (size[1], values.shape[1], options.strideH, options.dilationHFactor),
            (size[2], values.shape[2], options.strideW, options.dilationWFactor),
        )
    )
    if not rows.size or not columns.size:
        raise NotUnderstoodError("its kernel is larger than its input")
    if rows.size * columns.size > MOST_TAPS:
        raise NotUnderstoodError(f"its kernel, {values.shape[1]} x {values.shape[2]}, is too large")
    windows = np.array([np.outer(row, column).ravel() for row in rows for column in columns])
    return weights, windows, inputs


def _windows(size, kernel, stride, dilation, same):
    """The different sets of taps inside an axis of `size`, one row each."""
    reach = (kernel - 1) * dilation + 1
    count = math.ceil(size / stride) if same else (size - reach + stride) // stride
    before = max((count - 1) * stride + reach - size, 0) // 2 if same else 0
    if count * kernel > MOST_TAPS:
        raise NotUnderstoodError(f"its input, {size} long, is too large for its kernel")
    at = np.arange(count)[:, None] * stride - before + np.arange(kernel) * dilation
    return np.unique((at >= 0) & (at < size), axis=0)


def _scales(graph, kernel, channels, axis):
    quantization = graph.tensors[kernel].quantization
    if quantization is None or quantization.scale is None or len(quantization.scale) not in (1, channels):
        raise NotUnderstoodError("its weights have neither one scale nor one for each output channel")
    if len(quantization.scale) > 1 and quantization.quantizedDimension != axis:
        raise NotUnderstoodError("the scales of its weights are not along its output channels")
    if not _usable(quantization.scale) or np.any(quantization.zeroPoint):
        raise NotUnderstoodError("its weights have a zero point or scales that are no positive numbers")
    return np.broadcast_to(np.asarray(quantization.scale, np.float64), (channels,))


def _bias(graph, operator, channels):
    if len(operator.inputs) < 3 or operator.inputs[2] == NONE:
        return np.zeros(channels, np.int64)
    values = graph.constant(int(operator.inputs[2]))
    if values is None or values.dtype != INT32.dtype or values.size != channels:
        raise NotUnderstoodError("its bias is not an int32 constant")
    return values.reshape(-1).astype(np.int64)
