"""Which levels each channel of each int8 tensor can have, for any input: interval arithmetic through the graph."""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting import tflite_links as links
from keras_sparse.exporting.tflite_layers import grid, shape
from keras_sparse.exporting.tflite_rounding import (
    HIGHEST,
    LIMITS,
    LOWEST,
    activated,
    error,
    levels,
    multiplied,
    overflows,
    requantized,
)

SUM_ERROR = 0.1
"""Levels that ADD and SUB may be off: XNNPACK's multipliers of 21 bits, for scales that differ by up to 2^8."""

CONVERSION = 2.0**-9
"""XNNPACK converts from one scale to another with a multiplier of 8 bits after the point."""

MEAN_ERROR = 1.0
"""Levels that MEAN may be off: some kernels round the mean and the zero point apart, older ones cut off."""


def find(graph, layers):
    """`{tensor: (lowest, highest)}`, int64 arrays with one value for each channel; a constant channel has both equal.

    Args:
        graph: the `Graph`.
        layers: what `tflite_layers.find` found in it.
    """
    known = {}
    for tensor in range(len(graph.tensors)):
        channels, values = links.width(graph, tensor), None
        if channels is not None:
            values = graph.constant(tensor)
            rows = None if values is None else values.reshape(-1, channels).astype(np.int64)
            limits = (LOWEST, HIGHEST) if rows is None else (rows.min(0), rows.max(0))
            known[tensor] = tuple(np.broadcast_to(limit, channels) for limit in limits)
    for place, operator in enumerate(graph.operators):
        if place in layers:
            known[layers[place].result] = _weighted(layers[place], known)
        else:
            _propagate(graph, operator, known)
    return known


def constant(limits):
    """Which channels are constant."""
    return limits[0] == limits[1]


def _weighted(layer, known):
    low, high = layer.accumulators(*known[layer.source])
    lowest, highest = requantized(low, high, layer.multiplier, layer.result_zero)
    unsafe = overflows(low, high, layer.multiplier)
    lowest, highest = np.where(unsafe, LOWEST, lowest), np.where(unsafe, HIGHEST, highest)
    return activated(lowest, highest, layer.activation, layer.result_scale, layer.result_zero)


def _propagate(graph, operator, known):
    rule, found = RULES.get(graph.name(operator)), links.find(graph, operator)
    if rule is None or found is None or len(operator.outputs) != 1:
        return
    result = int(operator.outputs[0])
    activation = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
    limits = rule(graph, operator, found, known, *grid(graph, result))
    if limits is not None and activation in LIMITS:
        known[result] = activated(*limits, activation, *grid(graph, result))


def _copied(graph, operator, found, known, scale, zero):
    """Values go through as they are, if the scales are the same."""
    if any(grid(graph, link.source) != (scale, zero) for link in found):
        return None
    channels = links.width(graph, found[0].result)
    lowest, highest = np.full(channels, HIGHEST), np.full(channels, LOWEST)
    for link in found:
        given = known[link.source]
        np.minimum.at(lowest, link.outputs, given[0][link.inputs])
        np.maximum.at(highest, link.outputs, given[1][link.inputs])
    return lowest, highest


def _padded(graph, operator, found, known, scale, zero):
    limits, value = _copied(graph, operator, found, known, scale, zero), np.asarray(zero)
    if len(operator.inputs) > 2:
        value = graph.constant(int(operator.inputs[2]))
        if value is None or grid(graph, int(operator.inputs[2])) != (scale, zero):
            return None
    return limits and (np.minimum(limits[0], value.min()), np.maximum(limits[1], value.max()))


def _converted(graph, operator, found, known, scale, zero):
    """QUANTIZE from int8 and the limits that stand alone: another scale and zero point."""
    low, high = _offsets(graph, found[0], known)
    multiplier = grid(graph, found[0].source)[0] / scale
    errors = np.where((low == 0) & (high == 0), 0.0, error(multiplier) + CONVERSION * np.maximum(abs(low), abs(high)))
    limits = levels(low * multiplier + zero, high * multiplier + zero, errors)
    if graph.name(operator) == "QUANTIZE":
        return limits
    return activated(*limits, STANDING[graph.name(operator)], scale, zero)


def _mean(graph, operator, found, known, scale, zero):
    source_scale, source_zero = grid(graph, found[0].source)
    low, high = _offsets(graph, found[0], known)
    ratio = source_scale / scale
    size, axes = shape(graph, found[0].source), np.ravel(graph.constant(int(operator.inputs[1])))
    count = math.prod(size[axis] or 1 for axis in axes)
    errors = np.where((low == 0) & (high == 0), 0.0, error(ratio / count))
    lowest, highest = levels(low * ratio + zero, high * ratio + zero, errors)
    # TFLite's own kernel for height and width rounds the mean of what is stored and the zero point apart.
    shift = np.float32(source_zero) * np.float32(source_scale) / np.float32(scale)
    shift = zero - int(shift + np.copysign(np.float32(0.5), shift))
    step = np.float32(source_scale) / (np.float32(count) * np.float32(scale))
    for at in np.flatnonzero((low == high) & (lowest == highest)):
        for made in multiplied(int(low[at] + source_zero) * count, float(step)):
            lowest[at] = min(lowest[at], max(made + shift, LOWEST))
            highest[at] = max(highest[at], min(made + shift, HIGHEST))
    same = (low == high) & (lowest == highest)
    wide = levels(low * ratio + zero, high * ratio + zero, MEAN_ERROR + error(ratio / count))
    return tuple(np.where(same, one, other) for one, other in zip((lowest, highest), wide, strict=True))


def _offsets(graph, link, known):
    """`(low, high)` of a source's values from its zero point, by channels of the result."""
    zero = grid(graph, link.source)[1]
    return tuple((limit[link.inputs] - zero).astype(np.float64) for limit in known[link.source])


def _summed(graph, operator, found, known, scale, zero):
    if len(found) != 2:
        return None
    (low, high), (other_low, other_high) = (
        [limit * grid(graph, link.source)[0] / scale for limit in _offsets(graph, link, known)] for link in found
    )
    if graph.name(operator) == "SUB":
        other_low, other_high = -other_high, -other_low
    return levels(low + other_low + zero, high + other_high + zero, SUM_ERROR)


def _multiplied(graph, operator, found, known, scale, zero):
    if len(found) != 2:
        return None
    first, second = (_offsets(graph, link, known) for link in found)
    products = np.array([one * other for one in first for other in second])
    multiplier = grid(graph, found[0].source)[0] * grid(graph, found[1].source)[0] / scale
    low, high = products.min(0), products.max(0)
    return None if overflows(low, high, multiplier).any() else requantized(low, high, multiplier, zero)


STANDING = {name: getattr(schema.ActivationFunctionType, name) for name in ("RELU", "RELU_N1_TO_1", "RELU6")}
RULES = {
    "ADD": _summed,
    "SUB": _summed,
    "MUL": _multiplied,
    "MEAN": _mean,
    "PAD": _padded,
    "PADV2": _padded,
    **dict.fromkeys(("QUANTIZE", *STANDING), _converted),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "CONCATENATION", "MIRROR_PAD"), _copied),
    **dict.fromkeys(("RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SQUEEZE"), _copied),
}
"""The other operations of `tflite_links` keep the full range."""
