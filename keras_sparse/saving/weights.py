"""`save_weights` and `load_weights`: all variables of a model in one HDF5 file, sparse ones packed."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_sparse.atomic import write_atomically
from keras_sparse.saving import stored


def save_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Writes all variables of `model` to an HDF5 file, bit for bit, sparse ones as a bitmask and packed values.

    Saved are `model.variables`: weights, what a prepared model has learned, states of seed generators. The state of the
    optimizer is not, nor are metrics (`model.save` keeps those). Each variable is stored dense or sparse, whatever is
    smaller. The file is written whole or not at all, and is the same for the same variables. h5py reads it:

        attributes of the file   format = "keras_sparse weights", version = 1, variables = their number
        dataset 000000, ...      one for each variable, in the order of `model.variables`; attributes:
            path                 of the variable, UTF-8; several variables may have the same one
            dtype                of the variable; bool, bfloat16 and float8 lie there as unsigned integers of their size
            crc32                of repr((path, dtype, shape, is it sparse)), the mask and the dataset, little-endian
            shape                only where it is sparse: that of the variable. The dataset then holds, in C order, the
                                 values of which some bit is 1 (so a negative zero is a value), and beside it there is
        dataset 000000.mask      uint8; bit i % 8, counted from the lowest, of byte i // 8 is 1 where value i is kept

    Args:
        model: a built Keras model of any kind, plain or prepared.
        path: where to; the name may end in anything, ".h5" is usual.

    Raises:
        ValueError: the model is not built, or a variable has a dtype that the format does not know.

    >>> import tempfile
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, kernel_initializer="zeros", name="d")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ks.save_weights(model, f"{folder}/weights.h5")
    ...     ks.load_weights(model, f"{folder}/weights.h5")
    ...     Path(folder, "weights.h5").stat().st_size < 64 * 64
    True
    """
    variables = [stored.Stored(v.path, keras.ops.convert_to_numpy(v)) for v in _variables(model)]
    write_atomically(path, stored.write(variables))


def load_weights(model: keras.Model, path: str | os.PathLike[str]) -> None:
    """Sets the variables of `model` to those that `save_weights` wrote, bit for bit.

    All is checked before the first variable is set: where anything is wrong, the model is as it was. What the file says
    of its variables is held against the model before any values are read.

    Variables are found by their paths; those with the same path, in their order. Where paths differ only in the numbers
    that Keras gives to names by itself ("dense_3"), so that the same code has built the model anew, all are found by
    their order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no file of `save_weights`; or a variable is missing, not the model's, or of
            another shape or dtype. It is named.

    >>> import tempfile
    >>> import keras_sparse as ks
    >>> old, new = (keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]) for _ in range(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ks.save_weights(old, f"{folder}/weights.h5")
    ...     ks.load_weights(new, f"{folder}/weights.h5")
    >>> bool((new.get_weights()[0] == old.get_weights()[0]).all())
    True
    """
    variables, path = _variables(model), Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} to load weights from.")
    try:
        places: list[int] = []
        found = stored.read(path.read_bytes(), lambda headers: places.extend(_fitting(variables, headers)))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error
    for variable, place in zip(variables, places, strict=True):
        variable.assign(found[place].values)


def _variables(model: Any) -> list[Any]:
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError(
            f"Model {model.name!r} is not built, so it has not all its variables. Start it with keras.Input(shape), or "
            "call it once."
        )
    return list(model.variables)


def _fitting(variables: Sequence[Any], headers: Sequence[stored.Header]) -> list[int]:
    """Where each variable is among `headers`. Raises ValueError where one is missing, or of another shape or dtype."""
    places = _places([variable.path for variable in variables], [each.path for each in headers])
    for variable, each in zip(variables, (headers[place] for place in places), strict=True):
        if (tuple(variable.shape), variable.dtype) != (each.shape, each.dtype):
            raise ValueError(
                f"the model's variable {variable.path!r} is of shape {tuple(variable.shape)} and dtype "
                f"{variable.dtype}. Received: {each.path!r} of shape {each.shape} and dtype {each.dtype}"
            )
    return places


def _places(paths: Sequence[str], found: Sequence[str]) -> list[int]:
    """Where each of `paths` is in `found`."""
    wanted, received = Counter(paths), Counter(found)
    if wanted == received:
        by_path: dict[str, list[int]] = {}
        for place, path in enumerate(found):
            by_path.setdefault(path, []).append(place)
        rest = {path: iter(places) for path, places in by_path.items()}
        return [next(rest[path]) for path in paths]
    unnumbered = [_unnumbered(path) for path in paths], [_unnumbered(path) for path in found]
    if unnumbered[0] == unnumbered[1]:
        return list(range(len(found)))
    if Counter(unnumbered[0]) != Counter(unnumbered[1]):  # else all are there, in another order
        wanted, received = map(Counter, unnumbered)
    missing, extra = sorted((wanted - received).elements()), sorted((received - wanted).elements())
    raise ValueError(
        f"the variables of the model were required. Not in the file: {missing or 'none'}; received, but not in the "
        f"model: {extra or 'none'}"
    )


def _unnumbered(path: str) -> str:
    """A path without the numbers that Keras puts into names: "dense_3/kernel" is "dense/kernel"."""
    return re.sub(r"_\d+(?=[_/]|$)", "", path)
