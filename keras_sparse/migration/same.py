"""One layer of Keras 2 against the Keras 3 layer made of it: both are run, and must say the same.

Names and arguments do not tell: the `hard_sigmoid` of Keras 3 is another function than that of Keras 2.
"""

import warnings

import keras
import numpy as np

ITEMS, UNKNOWN = 2, 32
"""Items that are tried, and the size of an axis that the model leaves open."""

SAID = 200
"""Characters of an error that are passed on."""

TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "bfloat16": 0.1, "float16": 0.02}
"""Of the largest output, by the precision of the layer: sums in another order."""


def check(old, new, arguments, kwargs):
    """Raises where `new` does not compute what the Keras 2 layer `old` does, on random inputs of the shapes called for.

    Args:
        arguments, kwargs: those of the call, with Keras tensors.

    Nothing is compared where a layer keeps a state, which a call would move, or takes strings. Where the old layer
    does not take these inputs, a warning says so.

    Raises:
        ValueError: outputs differ; the layer is named.
    """
    rng = np.random.default_rng(0)
    structure = (arguments, kwargs)
    if getattr(old, "stateful", False):
        return  # its state would move
    if any("string" in str(each.dtype) for each in keras.tree.flatten(structure) if _is_tensor(each)):
        return  # no numbers to compare
    inputs, named = keras.tree.map_structure(lambda each: _drawn(each, rng) if _is_tensor(each) else each, structure)
    try:
        wanted = _arrays(old(inputs, **named))
    except Exception as error:  # the layer may be the user's own, and raise anything
        warnings.warn(
            f"Layer {old.name!r} ({type(old).__name__}) was not held against its Keras 3 layer: in Keras 2 it does not "
            f"take random inputs of the shapes {_shapes(inputs, named)}. Compare the outputs of both models on inputs "
            f"of your own. Received: {type(error).__name__}: {' '.join(str(error).split())[:SAID]}",
            stacklevel=2,
        )
        return
    made = _arrays(new(inputs, **named))
    tolerance = TOLERANCE.get(new.compute_dtype, TOLERANCE["float32"])
    for one, other in zip(made, wanted, strict=True):
        largest = max(1.0, np.abs(other).max(initial=0.0))
        if one.shape != other.shape or not np.abs(one - other).max(initial=0.0) <= tolerance * largest:
            raise ValueError(
                f"Layer {old.name!r} ({type(old).__name__}) computes something else in Keras 3 than in Keras 2, with "
                "the same arguments and weights: its outputs on random inputs were required to be the same. Received: "
                + (
                    f"a difference of {np.abs(one - other).max():.3g}, where the largest output is {largest:.3g}"
                    if one.shape == other.shape
                    else f"outputs of the shapes {one.shape} and {other.shape}"
                )
            )


def _is_tensor(value):
    return isinstance(value, keras.KerasTensor)


def _drawn(tensor, rng):
    first, *rest = tensor.shape
    shape = [first or ITEMS, *(size or UNKNOWN for size in rest)]
    if "float" in tensor.dtype:
        return (2 * rng.normal(size=shape)).astype(tensor.dtype)
    return rng.integers(0, 2, shape).astype(tensor.dtype)


def _shapes(inputs, named):
    return [each.shape for each in keras.tree.flatten((inputs, named)) if isinstance(each, np.ndarray)]


def _arrays(outputs):
    return [np.asarray(each, np.float64) for each in keras.tree.flatten(outputs)]
