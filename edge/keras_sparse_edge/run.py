"""From raw items to scores: preprocess, run the interpreter item by item, postprocess."""

from __future__ import annotations

import os
import tokenize
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keras_sparse_edge import native
from keras_sparse_edge.bundle import MEMBER_LIMITS, read_bundle
from keras_sparse_edge.errors import BundleError, InputError, shown
from keras_sparse_edge.manifest import MODEL, TENSOR_RANGES, Manifest, Preprocessing, Tensor

# what NumPy raises on a header that is not what it wrote
_NPY_ERRORS = (
    ValueError,
    TypeError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    OverflowError,
    RecursionError,
    MemoryError,
)


class Bundle:
    """A validated bundle, ready to run.

    ```
    bundle = Bundle.open("model.ksb")
    scores = bundle.predict(images)  # uint8 (n, 28, 28) -> float32 (n, 10)
    bundle.manifest.labels[scores[0].argmax()]
    ```
    """

    def __init__(
        self, manifest: Manifest, model: bytes, *, threads: int | None = None, kernels: bool | None = None
    ) -> None:
        self.manifest = manifest
        self._model = model
        self._threads = threads
        self._kernels = kernels
        self._interpreter: Any = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        kernels: bool | None = None,
        max_size: int = MEMBER_LIMITS[MODEL],
    ) -> Bundle:
        """Read and validate the bundle at `path`; BundleError if it breaks FORMAT.md.

        So it is if its model has more than `max_size` bytes: those of FORMAT.md, 256 MiB, or what you have room for.
        `kernels` says whether the native INT8 kernels run what they are faster at, with the same scores; by default
        where they can be had.
        """
        return cls(*read_bundle(path, max_size), threads=threads, kernels=kernels)

    def predict(self, items: NDArray[Any]) -> NDArray[np.float32]:
        """Scores, float32 (n, classes), of one raw item or of n of them.

        `items` has the dtype and shape of the manifest's raw item, or one more axis in front, for
        example uint8 (28, 28) or (n, 28, 28). InputError if not; BundleError if the model cannot
        be run or gives scores that are not finite.
        """
        batch = as_batch(items, self.manifest.preprocessing)
        if self._interpreter is None:
            self._interpreter = _load(self.manifest, self._model, self._threads, self._kernels)
        return np.stack([self._run(index, item) for index, item in enumerate(batch)])

    def _run(self, index: int, item: NDArray[Any]) -> NDArray[np.float32]:
        manifest, interpreter = self.manifest, self._interpreter
        x = preprocess(item, manifest.preprocessing)
        if not np.isfinite(x).all():
            raise InputError(f"items must be finite after preprocessing; item {index} is not")
        try:
            interpreter.set_tensor(
                interpreter.get_input_details()[0]["index"],
                quantize(x, manifest.input).reshape(manifest.input.shape),
            )
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"the model cannot be run: {error}") from error
        output = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        scores = dequantize(output[0], manifest.output)
        if not np.isfinite(scores).all():
            raise BundleError(f"the model's scores must be finite; those of item {index} are not")
        return softmax(scores) if manifest.postprocessing == "softmax" else scores


def load_items(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The array in the .npy file at `path`, mapped rather than read; InputError if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's and Python's, about headers of other origin
            # mapped: a header that promises terabytes is compared with the file, nothing is allocated
            items = np.load(path, mmap_mode="r", allow_pickle=False)
    except _NPY_ERRORS as error:
        raise InputError(f"not a .npy array of numbers: {error}") from error
    if not isinstance(items, np.ndarray):
        items.close()
        raise InputError("must be one .npy array; got an archive of them")
    return items


def as_batch(items: NDArray[Any], item: Preprocessing) -> NDArray[Any]:
    """`items` as (n, *item.shape), n >= 1; InputError if dtype or shape are not the raw item's."""
    required = f"{item.dtype} {list(item.shape)}, or n of them"
    if items.dtype != np.dtype(item.dtype):
        raise InputError(f"items must be {required}; got the dtype {shown(str(items.dtype))}")
    batch = items[np.newaxis] if items.shape == item.shape else items
    if batch.shape[1:] != item.shape or batch.ndim != len(item.shape) + 1:
        raise InputError(f"items must be {required}; got the shape {list(items.shape)}")
    if len(batch) == 0:
        raise InputError(f"items must be {required}; got none")
    return batch


def preprocess(item: NDArray[Any], step: Preprocessing) -> NDArray[np.float32]:
    """float32(item) * scale + offset, in float32.

    >>> preprocess(np.array([0, 255], "uint8"), Preprocessing("uint8", (2,), 2 / 255, -1.0))
    array([-1.,  1.], dtype=float32)
    """
    # what overflows becomes infinite, which the caller refuses with the item's number
    with np.errstate(over="ignore", invalid="ignore"):
        x = item.astype(np.float32) * np.float32(step.scale) + np.float32(step.offset)
    return np.asarray(x, np.float32)


def quantize(x: NDArray[np.float32], tensor: Tensor) -> NDArray[Any]:
    """clip(rint(x / scale) + zero_point) in the tensor's dtype; float32 stays as it is.

    >>> x = np.array([-9, 0, 0.25, 9], "float32")
    >>> quantize(x, Tensor("x", (1, 4), "int8", 0.5, 3))  # ties to even
    array([-15,   3,   3,  21], dtype=int8)
    """
    stored = TENSOR_RANGES[tensor.dtype]
    if stored is None or tensor.scale is None or tensor.zero_point is None:
        return x
    with np.errstate(over="ignore"):
        q = np.rint(x.astype(np.float64) / tensor.scale) + tensor.zero_point
    return np.asarray(np.clip(q, *stored), tensor.dtype)


def dequantize(q: NDArray[Any], tensor: Tensor) -> NDArray[np.float32]:
    """(q - zero_point) * scale, float32; float32 stays as it is.

    >>> dequantize(np.array([3, 5], "int8"), Tensor("y", (1, 2), "int8", 0.5, 3))
    array([0., 1.], dtype=float32)
    """
    if tensor.scale is None or tensor.zero_point is None:
        return np.asarray(q, np.float32)
    real = (q.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
    return np.asarray(real, np.float32)


def softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp(s - max s) / sum exp(s - max s).

    >>> softmax(np.array([0, 0], "float32"))
    array([0.5, 0.5], dtype=float32)
    """
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum(), np.float32)


def _load(manifest: Manifest, model: bytes, threads: int | None, kernels: bool | None) -> Any:
    """An interpreter whose tensors are those of the manifest."""
    try:
        # here and not above: reading a bundle and --info need no runtime
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(f"ai-edge-litert is required to run a bundle: {error}") from error
    delegates = [native.delegate()] if (native.available() if kernels is None else kernels) else None
    try:
        interpreter = Interpreter(model_content=model, num_threads=threads, experimental_delegates=delegates)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"model.tflite cannot be loaded: {error}") from error
    for where, required, details in (
        ("inputs", manifest.input, interpreter.get_input_details()),
        ("outputs", manifest.output, interpreter.get_output_details()),
    ):
        came = [_tensor(detail) for detail in details]
        if came != [required]:
            raise BundleError(f"{where} of model.tflite must be {[required]}, as the manifest says; got {came}")
    return interpreter


def _tensor(detail: dict[str, Any]) -> Tensor:
    scales = detail["quantization_parameters"]["scales"]
    zero_points = detail["quantization_parameters"]["zero_points"]
    return Tensor(
        detail["name"],
        tuple(int(size) for size in detail["shape"]),
        np.dtype(detail["dtype"]).name,
        float(scales[0]) if len(scales) else None,
        int(zero_points[0]) if len(zero_points) else None,
    )
