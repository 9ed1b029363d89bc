"""Which channel of an operation's output depends on which channel of its inputs, for all but what holds weights.

A channel is a place on the last axis. An operation is here if each channel of its output depends on one channel of each
input alone, so that both can go together.
"""

from dataclasses import dataclass

import numpy as np

from keras_sparse.exporting.tflite_layers import grid, is_int8, shape


@dataclass(frozen=True)
class Link:
    """`outputs[i]` of the tensor `result` depends on `inputs[i]` of the tensor `source`.

    `broadcast`: one channel serves all of them, and stays if any of them does.
    """

    source: int
    inputs: np.ndarray
    result: int
    outputs: np.ndarray
    broadcast: bool = False


def find(graph, operator):
    """The links of an operation; `None` where its channels cannot be told apart."""
    rule = RULES.get(graph.name(operator))
    if rule is None or any(width(graph, int(each)) is None for each in operator.outputs):
        return None
    return rule(graph, operator)


def tied(graph, operator):
    """The links of an operation where channels can be removed; `None` where they cannot be."""
    name = graph.name(operator)
    # What takes elements in blocks across channels has no rest only where the channels are whole blocks.
    if name in ACROSS and (width(graph, int(operator.outputs[0])) or 0) % BLOCKS[name]:
        return None
    found = find(graph, operator)
    # A constant is cut to what is left of the result, where each of its channels makes one.
    if name not in OPERANDS and any(graph.constant(link.source) is not None for link in found or ()):
        return None
    return found


def block(graph, operator):
    """The size of the groups of channels that a kernel of LiteRT's own rounds otherwise than the rest, or `None`.

    Vector instructions cut off where the code for the rest rounds. Kernels of XNNPACK round all channels alike.
    """
    name, options = graph.name(operator), operator.builtinOptions
    return BLOCKS.get(name) if name != "MEAN" or (options is not None and options.keepDims) else None


def width(graph, tensor):
    """The number of channels of an int8 tensor, `None` for one that has no channels to remove."""
    if tensor < 0 or not is_int8(graph, tensor) or graph.tensors[tensor].isVariable or grid(graph, tensor) is None:
        return None
    size = shape(graph, tensor)
    return None if size is None else (size[-1] or None) if size else 1


def _same(graph, operator):
    source, result = int(operator.inputs[0]), int(operator.outputs[0])
    channels = width(graph, source)
    if channels is None or channels != width(graph, result):
        return None
    return [Link(source, np.arange(channels), result, np.arange(channels))]


def _reshape(graph, operator):
    """Elements keep their order: of two last axes, the longer one holds the shorter one several times."""
    source, result = int(operator.inputs[0]), int(operator.outputs[0])
    given, made = width(graph, source), width(graph, result)
    if given is None or max(given, made) % min(given, made):
        return None
    if len(operator.inputs) > 1 and graph.constant(int(operator.inputs[1])) is None:
        return None
    at = np.arange(max(given, made))
    return [Link(source, at % given, result, at % made)]


def _squeeze(graph, operator):
    axes = operator.builtinOptions.squeezeDims if operator.builtinOptions else None
    rank = len(graph.tensors[operator.inputs[0]].shape)
    # Without axes, it would also take away a last axis that one channel is left of.
    if axes is None or len(axes) == 0 or any(axis % rank == rank - 1 for axis in axes):
        return None
    return _same(graph, operator)


def _pad(graph, operator):
    pads = graph.constant(int(operator.inputs[1]))
    return None if pads is None or np.any(pads[-1]) else _same(graph, operator)


def _mean(graph, operator):
    axes, rank = graph.constant(int(operator.inputs[1])), len(graph.tensors[operator.inputs[0]].shape)
    if axes is None or any(axis % rank == rank - 1 for axis in np.ravel(axes)):
        return None
    return _same(graph, operator)


def _concatenation(graph, operator):
    result, links, start = int(operator.outputs[0]), [], 0
    rank = len(graph.tensors[result].shape)
    along = operator.builtinOptions.axis % rank == rank - 1
    for source in map(int, operator.inputs):
        channels = width(graph, source)
        if channels is None:
            return None
        links.append(Link(source, np.arange(channels), result, start + np.arange(channels)))
        start += channels if along else 0
    return links


def _elementwise(graph, operator):
    result, links = int(operator.outputs[0]), []
    channels = width(graph, result)
    for source in map(int, operator.inputs):
        given = width(graph, source)
        if given not in (1, channels):
            return None
        at = np.arange(channels)
        links.append(Link(source, at % given, result, at, broadcast=given < channels))
    return links


BLOCKS = {"DEPTHWISE_CONV_2D": 8, "MEAN": 16, "MUL": 16, "QUANTIZE": 16}
ACROSS = ("MUL", "QUANTIZE")
OPERANDS = ("ADD", "SUB", "MUL", "CONCATENATION")
RULES = {
    **dict.fromkeys(("ADD", "SUB", "MUL"), _elementwise),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _same),
    **dict.fromkeys(("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "QUANTIZE"), _same),
    **dict.fromkeys(("HARD_SWISH", "LOGISTIC", "TANH"), _same),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    "CONCATENATION": _concatenation,
    "MEAN": _mean,
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
}
