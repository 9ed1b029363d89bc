"""How far rounding alone may move a model's outputs: the model again, every rounded value moved by a rounding."""

import keras
import numpy as np
from keras import ops

from keras_sparse.int8 import LEVELS, WEIGHT_MAX
from keras_sparse.train import batches, graph, roles
from keras_sparse.train.strip import FixedRange

HALF = 2.0**-11
"""Half the distance between neighbouring float16 numbers, relative to them: the most that rounding to them changes."""


class Jitter:
    """Moves values by one level, up or down or not at all, at random: what the rounding of an int8 kernel may do."""

    def __init__(self, seed=0):
        self.seeds = keras.random.SeedGenerator(seed)

    def __call__(self, inputs, level):
        steps = keras.random.randint(ops.shape(inputs), -1, 2, seed=self.seeds)
        return inputs + level * ops.cast(steps, inputs.dtype)


def dynamic_level(inputs, axes):
    """A level of a range that is measured at run time: `max|x| / 127` over `axes` of each item."""
    return ops.max(ops.abs(inputs), axis=axes, keepdims=True) / WEIGHT_MAX


def static(plain, samples):
    """The outputs of a stripped int8 model with every int8 activation off by up to one level.

    Args:
        samples: of `batches.outputs`, here and below.
    """
    moved = Jitter()

    def compute(call, args, kwargs):
        role, layer = roles.role(call.layer)[0], call.layer
        from_int8 = any(key in int8 for key in call.inputs)
        if isinstance(layer, FixedRange):
            # Before the rounding, so that it stays within the range and on its levels.
            outputs = layer(moved(args[0], (layer.high - layer.low) / LEVELS))
        else:
            outputs = graph.at_inference(layer, args, kwargs)
            if role == roles.BOUNDED and from_int8:
                outputs = moved(outputs, roles.bounded_level(layer))
            elif not (from_int8 and role in roles.KEEP_RANGE):
                return outputs
        int8.update(call.outputs)
        return outputs

    int8 = set()
    return batches.computed(plain, samples, compute)


def dynamic(plain, samples):
    """The outputs of a float model with the inputs of every Dense and convolution off by a level of their range."""
    moved = Jitter()

    def compute(call, args, kwargs):
        if roles.role(call.layer)[0] == roles.WEIGHTED:
            axes = -1 if isinstance(call.layer, keras.layers.Dense) else tuple(range(1, len(args[0].shape)))
            args = (moved(args[0], dynamic_level(args[0], axes)), *args[1:])
        return graph.at_inference(call.layer, args, kwargs)

    return batches.computed(plain, samples, compute)


def half(plain, samples):
    """The outputs of a float model with every floating point activation off by a rounding to float16."""
    moved = Jitter()

    def compute(call, args, kwargs):
        outputs = graph.at_inference(call.layer, args, kwargs)
        if len(call.outputs) > 1 or not keras.backend.is_float_dtype(outputs.dtype.name):
            return outputs
        outputs = ops.convert_to_tensor(outputs, sparse=False)
        return moved(outputs, HALF * ops.abs(outputs))

    return batches.computed(plain, samples, compute)


def half_weights(model):
    """`[(variable, value)]`: every floating point weight of a model off by a rounding to float16."""
    generator = np.random.default_rng(0)
    found = [(v, ops.convert_to_numpy(v)) for v in model.weights if v.dtype == "float32"]
    return [(v, value * (1.0 + HALF * generator.integers(-1, 2, value.shape))) for v, value in found]
