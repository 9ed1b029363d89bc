"""Calls a model as it is, batch by batch."""

import keras
import numpy as np

from keras_sparse.train import graph

BATCH, VALUES = 32, 1 << 18
"""Items at a time, at most, and values of inputs: every tensor of an eager call lives until its end."""

CALLS = 3
"""Eager calls, at most: to compile the model takes as long as some of them."""

FREEING = 8
"""Items at a time, at least, where tensors are freed once they were read."""


def check(samples):
    """Raises unless samples are what `model.predict` takes as arrays or tensors, and can be measured on.

    Raises:
        TypeError: they are no arrays.
        ValueError: they have no items, not as many each, or hold what is no finite number.
    """
    given = keras.tree.flatten(samples)
    places = list(samples) if isinstance(samples, dict) and len(samples) == len(given) else range(len(given))
    for place, each in zip(places, given, strict=True):
        where = "samples" if len(given) == 1 else f"samples[{place!r}]"
        if not (hasattr(each, "shape") and hasattr(each, "dtype") and len(each.shape)):
            raise TypeError(
                "samples must be an array, or a list or a dictionary of arrays, items along the first axis. "
                f"Received: {where} of type {type(each).__name__}"
            )
        if not len(each):
            raise ValueError(f"At least one sample is needed. Received: {where} of shape {tuple(each.shape)}")
        array = keras.ops.convert_to_numpy(each)
        if array.dtype.kind in "OSUMmc":
            raise ValueError(f"{where} must be numbers. Received: {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{where} must be finite. Received: NaN or infinite values")
    if len({len(each) for each in given}) > 1:
        raise ValueError(f"All samples need as many items. Received: {[len(each) for each in given]}")


def in_order(model, samples):
    """`samples`, arrays or tensors, as arrays in the order of `model.inputs`.

    Raises:
        ValueError: they are not as many as the inputs, or have other names.
    """
    names = [tensor.name for tensor in model.inputs]
    found = keras.tree.flatten(samples)
    if isinstance(samples, dict):
        structure = model.input if isinstance(model.input, dict) else {}
        if set(samples) == set(names):
            found = [samples[name] for name in names]
        elif set(samples) != set(structure):
            raise ValueError(f"samples by name are {names}. Received: {sorted(samples)}")
    if len(found) != len(names):
        raise ValueError(f"samples must be {len(names)} arrays, for {names}. Received: {len(found)}")
    return [keras.ops.convert_to_numpy(each) for each in found]


def outputs(model, samples):
    """What a functional model computes at inference: one array per output, in a list.

    Args:
        samples: inputs as `model.predict` takes arrays: one, a list in the order of the inputs, or a dictionary.
    """
    arrays, parts = in_order(model, samples), []
    batch = _batch(arrays)
    if len(arrays[0]) > CALLS * batch:
        given = keras.tree.pack_sequence_as(model.input, arrays)
        made = model.predict(given, batch_size=max(batch, FREEING), verbose=0)
        return [keras.ops.convert_to_numpy(each) for each in keras.tree.flatten(made)]
    for start in range(0, len(arrays[0]), batch):
        given = keras.tree.pack_sequence_as(model.input, [array[start : start + batch] for array in arrays])
        made = keras.tree.flatten(model(given, training=False))
        parts.append([keras.ops.convert_to_numpy(each) for each in made])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def computed(model, samples, compute):
    """The same where `(call, args, kwargs) -> outputs` computes in place of each layer, on tensors."""
    arrays, trace, parts = in_order(model, samples), graph.trace(model), []
    batch = max(_batch(arrays), FREEING)
    for start in range(0, len(arrays[0]), batch):
        given = [
            keras.ops.convert_to_tensor(array[start : start + batch], tensor.dtype)
            for tensor, array in zip(model.inputs, arrays, strict=True)
        ]
        parts.append([keras.ops.convert_to_numpy(each) for each in trace.run(given, compute)])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def _batch(arrays):
    return max(1, min(BATCH, VALUES // max(1, sum(array[:1].size for array in arrays))))
