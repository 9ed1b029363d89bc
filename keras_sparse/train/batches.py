"""Calls a model as it is, batch by batch: to compile a function of it takes longer where it is used once."""

import keras
import numpy as np

BATCH = 32
"""Items at a time."""


def outputs(model, samples):
    """What a functional model computes at inference: one array per output, in a list.

    Args:
        samples: inputs as `model.predict` takes arrays: one, or a list or a dictionary of them.
    """
    arrays, parts = keras.tree.flatten(samples), []
    for start in range(0, len(arrays[0]), BATCH):
        given = keras.tree.pack_sequence_as(model.input, [array[start : start + BATCH] for array in arrays])
        made = keras.tree.flatten(model(given, training=False))
        parts.append([keras.ops.convert_to_numpy(each) for each in made])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]
