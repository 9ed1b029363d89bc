"""Sparse and quantized Keras 3 models, from `model.fit` to a verified file for the runtime."""

import importlib.util
import sys
import typing

from keras_sparse.versions import __version__ as __version__

if typing.TYPE_CHECKING or "keras_sparse_command" not in sys.modules:
    # All of it at once: Keras then knows the classes of prepared models, whatever is loaded next.
    from keras_sparse.public import *  # noqa: F403
    from keras_sparse.public import __all__ as __all__
else:

    def __getattr__(name):
        """In the command, which is to start quickly: the public names are loaded when the first one is asked for."""
        if importlib.util.find_spec(f"keras_sparse.{name}") is not None or (name[0] == "_" and name != "__all__"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from keras_sparse import public

        return getattr(public, name)
