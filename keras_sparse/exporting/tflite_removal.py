"""Writes layers back into their graph, without the channels that go: weights, biases, scales, shapes."""

import copy

import numpy as np

from keras_sparse.exporting import tflite_kernels
from keras_sparse.exporting import tflite_links as links
from keras_sparse.exporting.tflite_checked import NONE
from keras_sparse.exporting.tflite_layers import grid


def write(graph, layers, channels):
    """Changes the graph.

    Args:
        graph: the `Graph`.
        layers: its layers, after `fold`.
        channels: its `Channels`.
    """
    found = {place: links.tied(graph, each) for place, each in enumerate(graph.operators) if place not in layers}
    for layer in layers.values():
        _write_layer(graph, layer, channels.kept(layer.result), channels.kept(layer.source))
    for place, tied in found.items():
        for at, link in enumerate(tied or ()):
            if graph.constant(link.source) is not None and not link.broadcast:
                _write_operand(graph, graph.operators[place], at, channels.kept(link.result)[link.outputs])
    for place, operator in enumerate(graph.operators):
        if place in layers or found[place] is not None:
            for tensor in map(int, operator.outputs):
                _set_width(graph.tensors[tensor], int(channels.kept(tensor).sum()))
            if graph.name(operator) == "RESHAPE":
                _write_shape(graph, operator)


def _write_layer(graph, layer, outputs, inputs):
    operator, kernel, values = layer.operator, layer.kernel, layer.stored(outputs, inputs)
    quantization = _sliced(graph.tensors[kernel.read].quantization, outputs)
    if kernel.block is None:
        _replace(graph, operator, 1, values, quantization)
    elif not np.array_equal(values, kernel.values):
        tflite_kernels.write(graph, kernel, values, quantization)
    bias = layer.bias[outputs].astype(np.int32)
    if len(operator.inputs) > 2 and operator.inputs[2] != NONE:
        index = int(operator.inputs[2])
        shape = [len(bias) if n == len(layer.bias) else n for n in graph.constant(index).shape]
        _replace(graph, operator, 2, bias.reshape(shape), _sliced(graph.tensors[index].quantization, outputs))
    elif bias.any():
        made = copy.deepcopy(graph.tensors[int(operator.inputs[1])].quantization)
        made.scale = (np.asarray(made.scale) * grid(graph, layer.source)[0]).astype(np.float32)
        made.quantizedDimension, made.min, made.max = 0, None, None
        index = graph.add_constant(b"bias", bias, made)
        operator.inputs = [*operator.inputs[:2], index]


def _write_operand(graph, operator, at, kept):
    tensor = int(operator.inputs[at])
    values = graph.constant(tensor)
    _replace(graph, operator, at, values[..., kept] if values.ndim else values, graph.tensors[tensor].quantization)


def _write_shape(graph, operator):
    """The new shape of a RESHAPE is a constant, an option, or both; a size of -1 follows from the others."""
    last = graph.tensors[operator.outputs[0]].shape[-1]
    options = operator.builtinOptions
    if options is not None and options.newShape is not None and len(options.newShape) and options.newShape[-1] != -1:
        options.newShape = [*options.newShape[:-1], last]
    if len(operator.inputs) > 1:
        shape = graph.constant(int(operator.inputs[1]))
        if shape[-1] != -1:
            changed = np.array([*shape[:-1], last], shape.dtype)
            _replace(graph, operator, 1, changed, graph.tensors[operator.inputs[1]].quantization)


def _replace(graph, operator, at, values, quantization):
    """Gives one input of one operation other values; other operations keep what they read."""
    tensor = int(operator.inputs[at])
    old = graph.constant(tensor)
    if old.shape == values.shape and np.array_equal(old, values):
        return
    elsewhere = sum(int(tensor == each) for other in graph.operators for each in other.inputs) > 1
    if elsewhere or graph.is_output(tensor):
        made = graph.add_constant(graph.tensors[tensor].name, values, quantization)
        operator.inputs = [*operator.inputs[:at], made, *operator.inputs[at + 1 :]]
    else:
        graph.set_constant(tensor, values)
        graph.tensors[tensor].quantization = quantization


def _sliced(quantization, kept):
    """A quantization whose values for each channel, where it has any, are those of the kept ones."""
    sliced = copy.copy(quantization)
    for name in ("scale", "zeroPoint", "min", "max"):
        values = getattr(quantization, name, None)
        if values is not None and len(values) == len(kept):
            setattr(sliced, name, np.asarray(values)[kept])
    return sliced


def _set_width(tensor, channels):
    if tensor.shape[-1] != channels:
        tensor.shape = [*tensor.shape[:-1], channels]
        if tensor.shapeSignature is not None and len(tensor.shapeSignature):
            tensor.shapeSignature = [*tensor.shapeSignature[:-1], channels]
