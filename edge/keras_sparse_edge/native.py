"""The native library of INT8 kernels that skip zero blocks of weights, and LiteRT's external delegate in it."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).with_name("libkeras_sparse.so")
"""Where the package's build puts it, if it finds a C compiler: from `kernels/`, `delegate/` and `provider/`."""


def delegate(threads: int | None = None, **options: Any) -> Any:
    """LiteRT's delegate that runs the layers of an int8 `.tflite` file whose zeros pay, bit for bit like XNNPACK.

    The file is an ordinary one. Layers with enough zero blocks (1x4 along the inputs of convolutions, 16x4 or 1x16 of
    fully connected layers: outputs x inputs) are run by kernels that skip them, together with what lies between such
    layers; XNNPACK runs the rest. A delegate serves any number of interpreters, and may be dropped before them.

    Args:
        threads: threads of these kernels, 1 to 65. By default `num_threads` of each interpreter.
        **options: for tests and measurements. `kernels`, the instruction set ("auto", "avx512-vnni", "avx512vl-vnni",
            "avx-vnni", "avx2", "neon-dot", "plain"); `threshold`, the fraction of zero blocks from which on a layer is
            taken.

    Returns:
        What `Interpreter(..., experimental_delegates=[...])` takes.

    Raises:
        RuntimeError: the library was not built or cannot be loaded, or the processor has no instructions for it.
        ValueError: an option is not known, or its value is not.

    >>> delegates = [delegate(threads=2)] if available() else []
    >>> # Interpreter("model.tflite", num_threads=2, experimental_delegates=delegates)
    >>> len(delegates) <= 1
    True
    """
    library()
    from ai_edge_litert.interpreter import load_delegate

    given = options if threads is None else {"threads": threads, **options}
    try:
        return load_delegate(str(LIBRARY), {name: str(value) for name, value in given.items()})
    except ValueError as error:
        message = str(error).rpartition("\n")[2] or str(error)
        if "this processor has no" in message:
            raise RuntimeError(message) from None
        raise ValueError(message) from None


def library() -> ctypes.CDLL:
    """The library, loaded; `RuntimeError` if it was not built or cannot be loaded."""
    if not LIBRARY.is_file():
        raise RuntimeError(
            "The native kernels are not there: no C compiler, or one too old, was found when the package was installed."
            " With one, install it again; in a checkout, `python setup.py build_ext --inplace`. Received: no file "
            f"{LIBRARY}"
        )
    try:
        return ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise RuntimeError(f"The native kernels cannot be loaded here: build them again. Received: {error}") from None


@functools.cache
def available() -> bool:
    """Whether `delegate()` works here: the library was built and the processor has instructions for it."""
    try:
        delegate()
    except RuntimeError:
        return False
    return True
