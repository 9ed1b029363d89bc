"""Samples: from a file, checked before anything is made of them, or drawn at random."""

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from keras_sparse.runtime.port import check_inputs

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy raises for headers that are not what it wrote, and zipfile for archives."""


def read(path):
    """The arrays in an `.npy` or `.npz` file, items along the first axis.

    Returns:
        An array (`.npy`); a list (`.npz` of arrays without names); or a dictionary by name.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it holds anything but finite numbers.
    """
    path = Path(path)
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"Samples are a .npy or .npz file. Received: {path}")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}")
    try:
        loaded = np.load(path, allow_pickle=False)
        named = {name: loaded[name] for name in loaded.files} if hasattr(loaded, "files") else {"": loaded}
    except UNREADABLE as error:
        raise ValueError(f"{path} does not hold arrays of numbers: {error}") from error
    if not named:
        raise ValueError(f"{path} holds no array")
    for name, array in named.items():
        where = f"{path}, {name}" if name else str(path)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{where} must be an array of numbers, items along the first axis")
        if not np.isfinite(array).all():
            raise ValueError(f"{where} holds NaN or infinite values")
    if "" in named:
        return named[""]
    places = [f"arr_{i}" for i in range(len(named))]  # as np.savez names what it was given without names
    return [named[place] for place in places] if set(named) == set(places) else named


def fitting(ports, samples, count):
    """The first `count` samples, an array, a list or a dictionary by name, as arrays that fit the ports.

    Raises:
        ValueError: they do not fit, are none, or are not finite.
    """
    if not isinstance(samples, dict | list | tuple):
        samples = [samples]
    named = isinstance(samples, dict)
    first = {name: each[:count] for name, each in samples.items()} if named else [each[:count] for each in samples]
    arrays = check_inputs(ports, first)
    if not len(arrays[0]):
        raise ValueError("At least one sample is needed. Received: none")
    for port, array in zip(ports, arrays, strict=True):
        if not np.isfinite(array).all():
            raise ValueError(f"samples for {port.name!r} hold NaN or infinite values.")
    return arrays


def drawn(ports, low, high, count):
    """`count` random items for each port (what has a `shape` with the batch first, and a `dtype`), always the same.

    Floating point is uniform in `[low, high]`, a free axis has length 1, integers are 0 or 1.
    """
    generator, arrays = np.random.default_rng(0), []
    for port in ports:
        shape = (count, *(size or 1 for size in port.shape[1:]))
        floating = port.dtype.startswith("float")
        values = generator.uniform(low, high, shape) if floating else generator.integers(0, 2, shape)
        arrays.append(values.astype(port.dtype))
    return arrays
