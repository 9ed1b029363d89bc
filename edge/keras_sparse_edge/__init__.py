"""Run a keras_sparse edge bundle with NumPy and ai-edge-litert only."""

from keras_sparse_edge.errors import BundleError, InputError, PackedError
from keras_sparse_edge.packed import read_packed
from keras_sparse_edge.run import Bundle

__version__ = "0.1.0"

__all__ = ["Bundle", "BundleError", "InputError", "PackedError", "__version__", "read_packed"]
