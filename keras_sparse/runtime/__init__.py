"""Runs files in the runtimes that they are made for; imports neither Keras nor TensorFlow."""

from pathlib import Path

import numpy as np

from keras_sparse import target

ENGINES = {".tflite": "litert", ".onnx": "onnxruntime"}
"""suffix -> the module here that runs such files, unless another one is asked for."""


def open_session(path, threads=1, delegates=True, engine=None):
    """A session for the file at `path`, by its suffix: `.inputs`, `.outputs`, `.run(arrays)`.

    Args:
        path: a `.tflite` or `.onnx` file.
        threads: number of threads of the runtime.
        delegates: whether LiteRT may use its default delegates (XNNPACK).
        engine: "native", a file with `ks.delegate()` or `ks.session_options()`; for a `.onnx` file "openvino", to run
            it there, and for ONNX Runtime "exact", with no sum cut off at 16 bits on any processor, or "saturating", as
            x86-64 processors without VNNI cut them off.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no file {path}")
    target.find(path)  # an unknown suffix is an error that names those that are known
    if engine == "openvino":
        from keras_sparse.runtime.openvino import Session

        return Session(path, threads=threads, delegates=delegates)
    if engine == "saturating":
        from keras_sparse.runtime.saturating import Session

        return Session(path, threads=threads)
    if engine == "exact":
        from keras_sparse.runtime.exact import Session

        return Session(path, threads=threads)
    if ENGINES[Path(path).suffix] == "litert":
        from keras_sparse.runtime.litert import Session
    else:
        from keras_sparse.runtime.onnxruntime import Session
    return Session(path, threads=threads, delegates=delegates, native=engine == "native")


def one_item(session):
    """Inputs of one item, of zeros, to time or try a file with."""
    return [np.zeros([size or 1 for size in port.shape], port.dtype) for port in session.inputs]
