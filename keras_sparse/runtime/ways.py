"""The ways in which a file for a target is run before it counts as right: all that there are on this machine."""

import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from keras_sparse_edge.native import available

from keras_sparse.runtime import emulated, isolated

NATIVE = "LiteRT with native kernels"

EMULATED_ITEMS = 4
"""Items that are run on an emulated processor, which takes a hundred times as long."""


@dataclass(frozen=True)
class Way:
    """One way to run a file.

    Attributes:
        runtime: what it is called in reports.
        run: `(path, arrays) -> outputs`, in a process of its own.
        items: how many items are run so, at most; `None` for all.
        required: whether a file for the target must be right there. Elsewhere a difference is reported.
    """

    runtime: str
    run: Callable
    items: int | None = None
    required: bool = True

    def first(self, arrays):
        """Of arrays by name or in a list, the items that are run this way."""
        if isinstance(arrays, dict):
            return {name: array[: self.items] for name, array in arrays.items()}
        return [array[: self.items] for array in arrays]


def ways(target):
    """The `Way`s of a `Target`, the one that users take first.

    Raises:
        RuntimeError: the target's own runtime is not installed, or the emulation that there is does not work.
    """
    if target.suffix == ".tflite":
        found = [
            Way("LiteRT", isolated.run),
            Way("LiteRT without delegates", functools.partial(isolated.run, delegates=False)),
        ]
        if target.name == "litert-native":
            if not available():
                raise RuntimeError(
                    "A file for litert-native is run there before it is written, and the native kernels cannot be had "
                    "here: no C compiler when keras_sparse was installed, or a processor without instructions for them."
                )
            found.append(Way(NATIVE, functools.partial(isolated.run, engine="native")))
        if emulated.command() and target.name not in ("litert-x86", "litert-native"):
            emulated.works(emulated.command())
            found.append(Way("LiteRT on AArch64 (emulated)", emulated.run, EMULATED_ITEMS))
        return found
    found = [Way("ONNX Runtime", isolated.run)]
    own = target.name == "openvino"
    if importlib.util.find_spec("openvino"):
        found.append(Way("OpenVINO", functools.partial(isolated.run, engine="openvino"), required=own))
    elif own:
        raise RuntimeError("A file for openvino is run there before it is written: pip install openvino")
    return found
