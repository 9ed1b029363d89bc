"""Sums of two products in 16 bits: what x86-64 processors without VNNI make of uint8 x int8.

Their instruction `vpmaddubsw` multiplies unsigned by signed bytes and adds neighbouring products in 16 bits, cut off at
-32768 and 32767. Two weights of 127 at two inputs of 255 give 64,770: less than half of it is left. ONNX Runtime and
OpenVINO use it where there is no VNNI (AMD before Zen 4, Intel before Cascade Lake); see microsoft/onnxruntime#6004.
Neighbours are rows 2t and 2t + 1 of the matrix `(inputs, outputs)`; of a convolution's, inputs vary fastest, then
kernel positions.
"""

import numpy as np

LOW, HIGH = -(2**15), 2**15 - 1
"""Of 16 bits."""

BYTE = 255
"""The largest input."""

CHUNK = 1 << 22
"""Values that are computed at once, at most."""


def overflowing(weights):
    """Where some inputs make a sum of two products leave 16 bits: `(t, output)` of every such pair, as two arrays.

    >>> pairs, outputs = overflowing(np.int8([[127, 64, 127], [2, 64, -127]]))
    >>> pairs.tolist(), outputs.tolist()
    ([0], [0])
    """
    first, second = _neighbours(np.asarray(weights, np.int32))
    highest = BYTE * (np.maximum(first, 0) + np.maximum(second, 0))
    lowest = BYTE * (np.minimum(first, 0) + np.minimum(second, 0))
    return np.nonzero((highest > HIGH) | (lowest < LOW))


def depthwise(weights, groups):
    """Whether the weights, OIHW, of a convolution have one input and one output a group: those are summed exactly.

    >>> depthwise(np.zeros((8, 1, 3, 3)), 8), depthwise(np.zeros((16, 1, 3, 3)), 8)
    (True, False)
    """
    return weights.shape[1] == 1 and groups == len(weights)


def product(inputs, weights):
    """`inputs @ weights` as such a processor computes it: uint8 `(rows, n)` by int8 `(n, outputs)`, int64.

    >>> product(np.uint8([[255, 255]]), np.int8([[127], [127]])).tolist()
    [[32767]]
    """
    weights = np.asarray(weights, np.int32)
    pairs, outputs = overflowing(weights)
    order = np.argsort(outputs, kind="stable")
    pairs, outputs = pairs[order], outputs[order]
    exact = np.empty((len(inputs), weights.shape[1]), np.int64)
    rows = max(1, CHUNK // max(*weights.shape, 1))
    for start in range(0, len(inputs), rows):
        part = inputs[start : start + rows]
        exact[start : start + rows] = np.rint(part.astype(np.float64) @ weights.astype(np.float64))  # below 2^53
        for begin in range(0, len(pairs), max(1, CHUNK // len(part))):
            some = slice(begin, begin + max(1, CHUNK // len(part)))
            exact[start : start + rows] += _lost(part, weights, pairs[some], outputs[some])
    return exact


def _lost(inputs, weights, pairs, outputs):
    """What cutting off adds to each output, by all of these pairs."""
    first, second = inputs[:, 2 * pairs].astype(np.int32), inputs[:, 2 * pairs + 1].astype(np.int32)
    sums = first * weights[2 * pairs, outputs] + second * weights[2 * pairs + 1, outputs]
    found, starts = np.unique(outputs, return_index=True)
    lost = np.zeros((len(inputs), weights.shape[1]), np.int64)
    lost[:, found] = np.add.reduceat(np.clip(sums, LOW, HIGH) - sums, starts, axis=1, dtype=np.int64)
    return lost


def _neighbours(weights):
    """Even and odd rows; a last one without a neighbour is left out, since one product fits."""
    even = len(weights) // 2 * 2
    return weights[0:even:2], weights[1:even:2]
