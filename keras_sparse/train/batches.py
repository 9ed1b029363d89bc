"""Calls a model as it is, batch by batch: to compile a function of it takes longer where it is used once."""

import keras
import numpy as np

BATCH, VALUES = 32, 1 << 18
"""Items at a time, at most, and values of inputs: every tensor of a call lives until its end."""


def in_order(model, samples):
    """`samples`, arrays or tensors, as arrays in the order of `model.inputs`."""
    names = [tensor.name for tensor in model.inputs]
    by_name = isinstance(samples, dict) and set(samples) == set(names)
    found = [samples[name] for name in names] if by_name else keras.tree.flatten(samples)
    return [keras.ops.convert_to_numpy(each) for each in found]


def outputs(model, samples):
    """What a functional model computes at inference: one array per output, in a list.

    Args:
        samples: inputs as `model.predict` takes arrays: one, a list in the order of the inputs, or a dictionary.
    """
    arrays, parts = in_order(model, samples), []
    batch = max(1, min(BATCH, VALUES // max(1, sum(array[:1].size for array in arrays))))
    for start in range(0, len(arrays[0]), batch):
        given = keras.tree.pack_sequence_as(model.input, [array[start : start + batch] for array in arrays])
        made = keras.tree.flatten(model(given, training=False))
        parts.append([keras.ops.convert_to_numpy(each) for each in made])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]
