"""Run a keras_sparse edge bundle with NumPy and ai-edge-litert only."""

from keras_sparse_edge.errors import BundleError, InputError
from keras_sparse_edge.run import Bundle

__version__ = "0.1.0"

__all__ = ["Bundle", "BundleError", "InputError", "__version__"]
