"""How far rounding alone may move a model's outputs: the model again, every rounded value moved by a rounding."""

import itertools

import keras
import numpy as np
from keras import ops

from keras_sparse.int8 import LEVELS, WEIGHT_MAX
from keras_sparse.train import expand, graph, roles
from keras_sparse.train.strip import FixedRange

HALF = 2.0**-11
"""Half the distance between neighbouring float16 numbers, relative to them: the most that rounding to them changes."""


class Jitter(keras.layers.Layer):
    """Moves its input by one level, up or down or not at all, at random: what the rounding of an int8 kernel may do."""

    def __init__(self, level, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.level = level
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        return inputs + self.levels(inputs) * ops.cast(self.steps(inputs), inputs.dtype)

    def steps(self, inputs):
        return keras.random.randint(ops.shape(inputs), -1, 2, seed=self.seed_generator)

    def levels(self, inputs):
        return self.level


class DynamicJitter(Jitter):
    """The same for a range that is measured at run time: a level is `max|x| / 127` over `axes` of each item."""

    def __init__(self, axes, seed=0, **kwargs):
        super().__init__(None, seed, **kwargs)
        self.axes = axes

    def levels(self, inputs):
        return ops.max(ops.abs(inputs), axis=self.axes, keepdims=True) / WEIGHT_MAX


class RelativeJitter(Jitter):
    """The same for a floating point format: a level is a fraction of the value."""

    def levels(self, inputs):
        return self.level * ops.abs(inputs)


def static(plain):
    """A stripped int8 model with every int8 activation off by up to one level."""
    seeds, int8, alive = itertools.count(), set(), []

    def call(old, new, args, kwargs):
        role = roles.role(old)[0]
        from_int8 = any(id(tensor) in int8 for tensor in graph.tensors(args))
        if isinstance(old, FixedRange):
            # Before the rounding, so that it stays within the range and on its levels.
            outputs = new(Jitter((old.high - old.low) / LEVELS, next(seeds))(*args))
        elif role == roles.BOUNDED and from_int8:
            outputs = Jitter(roles.bounded_level(old), next(seeds))(new(*args, **kwargs))
        else:
            outputs = new(*args, **kwargs)
            if not (from_int8 and role in roles.KEEP_RANGE):
                return outputs
        int8.add(id(outputs))
        alive.append(outputs)  # ids are only unique among living tensors
        return outputs

    return _again(plain, call)


def dynamic(plain):
    """A float model with the inputs of every Dense and convolution off by a level of the range that they have then."""
    seeds = itertools.count()

    def call(old, new, args, kwargs):
        if roles.role(old)[0] != roles.WEIGHTED:
            return new(*args, **kwargs)
        axes = -1 if isinstance(old, keras.layers.Dense) else tuple(range(1, len(args[0].shape)))
        return new(DynamicJitter(axes, next(seeds))(args[0]), *args[1:], **kwargs)

    return _again(expand.expanded(plain), call)


def half(plain):
    """A float model with every floating point activation off by a rounding to float16."""
    seeds = itertools.count()

    def call(old, new, args, kwargs):
        outputs = new(*args, **kwargs)
        dense = isinstance(outputs, keras.KerasTensor) and not outputs.sparse
        floating = dense and outputs.dtype.startswith("float")
        return RelativeJitter(HALF, next(seeds))(outputs) if floating else outputs

    return _again(expand.expanded(plain), call)


def half_weights(model):
    """`[(variable, value)]`: every floating point weight of a model off by a rounding to float16."""
    generator = np.random.default_rng(0)
    found = [(v, ops.convert_to_numpy(v)) for v in model.weights if v.dtype == "float32"]
    return [(v, value * (1.0 + HALF * generator.integers(-1, 2, value.shape))) for v, value in found]


def _again(plain, call):
    # What has no graph is asked for its outputs only, and stays the layer that it is.
    return graph.rebuild(plain, call, keep=graph.is_subclassed)
