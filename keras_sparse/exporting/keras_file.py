"""Reads `.keras` files; what cannot be read is one error, whatever Keras made of it."""

import zipfile
import zlib
from pathlib import Path

import keras

from keras_sparse.train import strip  # noqa: F401  the classes of prepared models are known once it is imported

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What Keras, zipfile and h5py raise for files that are damaged, foreign, or of classes that are not known here."""


def read(path):
    """The Keras model in the file, not compiled.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or Keras cannot load it; says why.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"A .keras file was expected. Received: {path}")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}")
    if not zipfile.is_zipfile(path):
        # Keras would say that there is no file.
        raise ValueError(f"{path} is not a .keras file, or it is cut off: it is not a whole zip archive")
    try:
        return keras.models.load_model(path, compile=False)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be loaded as a Keras model: {_cause(error)}") from error


def _cause(error):
    """Keras puts the configuration of every layer around what it has to say."""
    said = str(error).rpartition("Exception encountered: ")[2].partition("Full object config:")[0]
    return " ".join(said.split()) or type(error).__name__
