"""Free zeros: weights that can be zero without any output changing."""

import numpy as np

from keras_sparse.exporting import tflite_ranges as ranges
from keras_sparse.exporting.tflite_rounding import INT32


def fold(layers, known):
    """Sets to zero what only ever adds a constant; what it adds goes into the bias. Changes the layers.

    Two kinds: weights that read a constant channel, w * (constant - zero point) summed over the taps; and the weights
    of a constant output channel, whose bias then is one of the accumulators that it had, so that it stays the same.

    Args:
        layers: layers of `tflite_layers`.
        known: the ranges of all channels.

    Returns:
        `{place: number of weights that became zero}`.
    """
    counts = {}
    for place, layer in layers.items():
        before = np.count_nonzero(layer.weights)
        accumulators = layer.accumulators(*known[layer.source])
        _read(layer, known[layer.source])
        _made(layer, accumulators, ranges.constant(known[layer.result]))
        counts[place] = int(before - np.count_nonzero(layer.weights))
    return counts


def _read(layer, limits):
    """Folds the weights that read constant channels, where that adds the same at every position of the output.

    A tap in the padding reads the zero point and adds nothing: where a constant is not the zero point, positions at the
    border would get another sum.
    """
    still = layer.spread(ranges.constant(limits))
    offset = layer.spread(limits[0] - layer.source_zero)
    sums = np.einsum("wt,oti->woi", layer.windows.astype(np.int64), layer.weights.astype(np.int64)) * offset[:, 0]
    free = still[:, 0] & (sums == sums[:1]).all(0)
    added = np.where(free, sums[0], 0).sum(1)
    fits = (layer.bias + added >= INT32.min) & (layer.bias + added <= INT32.max)
    layer.bias = np.where(fits, layer.bias + added, layer.bias)
    layer.weights = np.where((free & fits[:, None])[:, None, :], np.int8(0), layer.weights)


def _made(layer, accumulators, still):
    low, high = accumulators
    still = still & layer.weights.any((1, 2)) & (low >= INT32.min) & (high <= INT32.max)
    low, high = (np.where(still, each, 0).astype(np.int64) for each in accumulators)
    layer.bias = np.where(still, np.clip(layer.bias, low, high), layer.bias)
    layer.weights = np.where(still[:, None, None], np.int8(0), layer.weights)
