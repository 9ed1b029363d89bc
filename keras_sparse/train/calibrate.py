"""Post-training quantization with the machinery of quantization-aware training."""

import math

from keras import ops

from keras_sparse.recipe import Quantize, Recipe
from keras_sparse.train import batches, expand, graph, kernels
from keras_sparse.train.prepare import prepare
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights


def calibrate(model, samples, match="*"):
    """A prepared model, quantized without training: each range is the minimum and maximum that `samples` reach.

    Ranges are those of the float activations at inference. The weights of `model` are not changed.

    Args:
        model: a Keras model; of a subclassed one, the layers and `keras.ops` that its `call` is made of.
        samples: inputs as `model.predict` takes them, items along the first axis; a few hundred are enough.
        match: glob over the paths of kernels, or a list of globs: the layers to quantize.

    Returns:
        A model with int8 wrappers and ranges switched on, for `ks.export` or for further training.

    >>> import keras
    >>> import numpy as np
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(4, activation="relu", name="d")])
    >>> samples = np.linspace(-1, 3, 16, dtype="float32").reshape(2, 8)
    >>> low, high = ks.calibrate(model, samples).get_layer("x_range").limits()
    >>> float(low), float(high)
    (-1.0, 3.0)
    """
    batches.check(samples)
    prepared = prepare(expand.expanded(expand.wrapped(model, samples)), Recipe([Quantize(match=match)]))
    ranges = {}

    def compute(call, args, kwargs):
        layer = call.layer
        if isinstance(layer, ActivationRange):
            ranges.setdefault(layer.name, _Observed()).see(args[0])
            return args[0]
        # Ranges are those of the float model.
        return graph.at_inference(layer.layer if isinstance(layer, QuantizedWeights) else layer, args, kwargs)

    batches.computed(prepared, samples, compute)
    for name, observed in ranges.items():
        if not math.isfinite(observed.high - observed.low):
            raise ValueError(f"The values at {name!r} are not finite: the samples or the weights hold NaN or infinity.")
    for layer in kernels.walk(prepared):
        if isinstance(layer, ActivationRange):
            for variable, value in (
                (layer.low, ranges[layer.name].low),
                (layer.high, ranges[layer.name].high),
                (layer.batches, 1.0),
            ):
                variable.assign(ops.broadcast_to(value, variable.shape))
        if isinstance(layer, ActivationRange | QuantizedWeights):
            layer.active.assign(1.0)
    return prepared


class _Observed:
    """The least and the greatest of all values that were seen, and of 0."""

    low = high = 0.0

    def see(self, tensor):
        self.low, self.high = min(self.low, float(ops.min(tensor))), max(self.high, float(ops.max(tensor)))
