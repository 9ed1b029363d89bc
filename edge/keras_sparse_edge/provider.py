"""ONNX Runtime's execution provider in the native library: INT8 kernels that skip zero blocks of weights."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from keras_sparse_edge import native

NAME = "KerasSparseExecutionProvider"
"""What `InferenceSession.get_providers()` calls it."""

_REGISTERING = threading.Lock()
_GIVEN = "keras_sparse.session_options"  # an entry of options that have the provider: what it was given


def session_options(options: Any = None, threads: int | None = None, **kernels: Any) -> Any:
    """Options of an ONNX Runtime session that runs the layers of an int8 `.onnx` file whose zeros pay, to the same bit.

    The file is an ordinary one, with QuantizeLinear and DequantizeLinear around its layers. Layers with enough zero
    blocks (1x4 along the inputs of convolutions, 16x4 or 1x16 of fully connected layers: outputs x inputs) are run by
    kernels that skip them, with the depthwise convolutions between such layers; ONNX Runtime runs the rest. Its threads
    run both. The same bytes are those of its int8 kernels on processors with VNNI; without, its own sums may saturate.

    Args:
        options: `onnxruntime.SessionOptions` to add the provider to, and to return; new ones by default. They have it
            once: given again, with the same arguments, they are returned as they are.
        threads: threads of the session, 1 to 65, as `options.intra_op_num_threads`. By default what that says.
        **kernels: for tests and measurements. `kernels`, the instruction set, and `threshold`, the fraction of zero
            blocks from which on a layer is taken: as `delegate()` has them.

    Returns:
        What `onnxruntime.InferenceSession("model.onnx", ...)` takes.

    Raises:
        RuntimeError: the library was not built or cannot be loaded, the processor has no instructions for it, or ONNX
            Runtime is older than 1.23, which cannot load providers.
        ValueError: an option is not known, or its value is not; or `options` have the provider with other arguments.
        TypeError: `options` are no `onnxruntime.SessionOptions`.

    >>> options = session_options(threads=2) if native.available() else None
    >>> # onnxruntime.InferenceSession("model.onnx", options)
    >>> options is None or options.intra_op_num_threads == 2
    True
    """
    import onnxruntime

    if not isinstance(options, onnxruntime.SessionOptions | None):
        raise TypeError(f"options must be onnxruntime.SessionOptions. Received: {type(options).__name__}")
    given = {name: str(value) for name, value in kernels.items()}
    if threads is not None:
        given["threads"] = str(threads)
    _check(given)
    devices = _devices(onnxruntime)
    options = onnxruntime.SessionOptions() if options is None else options
    if threads is None and 0 < options.intra_op_num_threads <= 65:
        given["threads"] = str(options.intra_op_num_threads)
    if _has_provider(options, given):
        return options
    if threads is not None:
        options.intra_op_num_threads = int(threads)
    options.add_provider_for_devices(devices, given)
    options.add_session_config_entry(_GIVEN, _text(given))
    return options


def _text(given: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(given.items())) or "no options"


def _has_provider(options: Any, given: dict[str, str]) -> bool:
    """Whether this provider was added before: of two of one name ONNX Runtime would make no session."""
    try:
        before = options.get_session_config_entry(_GIVEN)
    except RuntimeError:  # no such entry
        return False
    if before != _text(given):
        raise ValueError(
            f"These onnxruntime.SessionOptions have the provider already, with {before}: the same, or new "
            f"onnxruntime.SessionOptions, are required. Received: {_text(given)}"
        )
    return True


def _check(given: dict[str, str]) -> None:
    """Raises what is wrong with options now: ONNX Runtime would only read them when a session is made."""
    library, messages = native.library(), []
    said = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(lambda message: messages.append(message.decode()))
    make, drop = library.tflite_plugin_create_delegate, library.tflite_plugin_destroy_delegate
    make.restype, drop.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    texts = ctypes.c_char_p * len(given)
    made = make(
        texts(*(name.encode() for name in given)),
        texts(*(value.encode() for value in given.values())),
        ctypes.c_size_t(len(given)),
        said,
    )
    if made:
        drop(made)
        return
    message = messages[0] if messages else "no memory"
    raise (RuntimeError if "this processor has no" in message else ValueError)(message)


def _devices(onnxruntime: Any) -> list[Any]:
    """The provider's devices: the processor. Registers the library with the process's ONNX Runtime if need be."""
    with _REGISTERING:
        if not hasattr(onnxruntime, "register_execution_provider_library"):
            raise RuntimeError(f"ONNX Runtime 1.23 or newer is required. Received: {onnxruntime.__version__}")
        found = [device for device in onnxruntime.get_ep_devices() if device.ep_name == NAME]
        if found:
            return found
        try:
            onnxruntime.register_execution_provider_library(NAME, str(native.LIBRARY))
        except Exception as error:  # of ONNX Runtime's own types, which tell nothing more
            raise RuntimeError(f"ONNX Runtime does not load the native kernels. Received: {error}") from None
        return [device for device in onnxruntime.get_ep_devices() if device.ep_name == NAME]
