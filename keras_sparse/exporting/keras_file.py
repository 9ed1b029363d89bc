"""Reads `.keras` files, and runs nothing of them; what cannot be read is one error, whatever Keras made of it."""

import zipfile
import zlib
from pathlib import Path

import keras

from keras_sparse import configuration
from keras_sparse.shown import cut
from keras_sparse.train import strip  # noqa: F401  the classes of prepared models are known once it is imported

UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What Keras, zipfile and h5py raise for files that are damaged, foreign, or of classes that are not known here."""


FUNCTIONS = {"activations", "ops", "losses", "metrics", "initializers", "regularizers", "constraints"}
"""Modules of Keras whose functions a file may name; others download files, load models, or call functions by name."""

MOST = 1000
"""Characters of what Keras says."""


def read(path):
    """The Keras model in the file, not compiled.

    The file may come from strangers. Its configuration is judged before Keras sees it, and Keras loads it in safe mode:
    bytecode (`Lambda` of a Python function), models in other files (`TFSMLayer`, `TorchModuleWrapper`) and vocabularies
    in other files are refused with the name of the layer. Classes of your own that are registered with Keras are made.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it cannot be loaded; one line says why.
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
        configuration.check(configuration.archived(path), _is_known)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be loaded as a Keras model: {cut(str(error))}") from error
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be loaded as a Keras model: {_cause(error)}") from error


def _is_known(described):
    """Keras itself judges classes, which it finds where they are registered or in its own modules."""
    module = described.get("module")
    if described["class_name"] != "function" or not isinstance(module, str) or module.split(".")[0] != "keras":
        return True
    return not FUNCTIONS.isdisjoint(module.split("."))


def _cause(error):
    """Keras puts the configuration of every layer around what it has to say."""
    said = str(error).rpartition("Exception encountered: ")[2].partition("Full object config:")[0]
    return " ".join(said.split())[:MOST] or type(error).__name__
