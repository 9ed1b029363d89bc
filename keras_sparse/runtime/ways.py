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


WITHOUT_VNNI = " on x86-64 without VNNI"

SATURATED_ITEMS = 16
"""Items that are run with emulated sums, which takes some ten times as long."""

EXACT = " with exact sums (as with VNNI, on ARM64)"

CAUSE = (
    "sums of two products of uint8 and int8 are cut off at 16 bits there, as those of {layers} can be. Export with "
    "reduce_range=True (7-bit weights)"
)
OPTION = ", or set the session option session.x64quantprecision to 1 there, which is slower"
"""What explains a difference on a processor without VNNI, and what helps; in ONNX Runtime, too."""


@dataclass(frozen=True)
class Way:
    """One way to run a file.

    Attributes:
        runtime: what it is called in reports.
        run: `(path, arrays) -> outputs`, in a process of its own.
        items: how many items are run so, at most; `None` for all.
        required: whether a file for the target must be right there. Elsewhere a difference is reported.
        cause: what explains a difference that is found there only, and what helps; "" where nothing is known.
    """

    runtime: str
    run: Callable
    items: int | None = None
    required: bool = True
    cause: str = ""

    def first(self, arrays):
        """Of arrays by name or in a list, the items that are run this way."""
        if isinstance(arrays, dict):
            return {name: array[: self.items] for name, array in arrays.items()}
        return [array[: self.items] for array in arrays]


def ways(target, saturating=(), without_vnni=True):
    """The `Way`s of a `Target`, the one that users take first.

    Args:
        target: what the file is for.
        saturating: weights of the file whose sums processors without VNNI may cut off, as `onnx_kernels` finds them.
            It is then run with exact sums and with those, whatever processor this is; one without such weights is
            the same on all.
        without_vnni: whether the file must be right on those processors, too.

    Raises:
        RuntimeError: the target's own runtime is not installed, or the emulation that there is does not work.
    """
    if target.suffix == ".tflite":
        return _tflite(target)
    cause, here = CAUSE.format(layers=_shortened(saturating)), bool(saturating) and isolated.saturates()
    found = [Way("ONNX Runtime", isolated.run)]
    if saturating:
        found = [Way(f"ONNX Runtime{EXACT}", functools.partial(isolated.run, engine="exact"))]
    if saturating and target.saturates:
        engine, items = (None, None) if here else ("saturating", SATURATED_ITEMS)
        run = functools.partial(isolated.run, engine=engine)
        found.append(Way(f"ONNX Runtime{WITHOUT_VNNI}", run, items, without_vnni, f"{cause}{OPTION}"))
    own = target.name == "openvino"
    if importlib.util.find_spec("openvino"):
        run = functools.partial(isolated.run, engine="openvino")
        name, right = (f"OpenVINO{WITHOUT_VNNI}", own and without_vnni) if here else ("OpenVINO", own)
        found.append(Way(name, run, required=right, cause=cause if here else ""))
    elif own:
        raise RuntimeError("A file for openvino is run there before it is written: pip install openvino")
    return found


def _tflite(target):
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


def _shortened(names, most=3):
    listed = ", ".join(map(repr, names[:most]))
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more layers"
