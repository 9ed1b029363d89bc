"""What a file is held against: a Keras model, or another file."""

from pathlib import Path

import keras

from keras_sparse import target
from keras_sparse.exporting import check, reduced, samples
from keras_sparse.exporting.scheme import exportable
from keras_sparse.runtime import isolated, open_session
from keras_sparse.runtime.port import Port
from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS
from keras_sparse.train.strip import fixed_ranges

OTHER = "in several schemes"
"""What a file is that computes neither in one of the schemes of `scheme.py` throughout."""

KERNELS = {"float32", "float16", "int8"}


class ModelReference:
    """A Keras model, plain or prepared.

    A plain one computes with the weights that a file of `scheme` holds, where that needs no samples; an int8 one with
    those of a file of 7 bits, with `reduce_range`.
    """

    def __init__(self, model, scheme=None, reduce_range=False):
        self.parts = exportable(model, reduce_range=reduce_range)
        if self.parts.scheme == FLOAT32 and scheme in (FLOAT16, INT8_WEIGHTS):
            self.parts = exportable(model, quantize=scheme, reduce_range=reduce_range)
        self.model, self.name = self.parts.model, f"the model {model.name!r}"
        self.ranges = fixed_ranges(self.model)
        self.scheme = self.parts.scheme
        self.ports = [Port(each.name, tuple(each.shape), each.dtype) for each in self.model.inputs]

    @property
    def input_range(self):
        return (self.ranges[0].low, self.ranges[0].high) if self.ranges else (-1.0, 1.0)

    def outputs(self, arrays):
        """What the model says, one array per output."""
        return self.parts.outputs(arrays)

    def tolerance(self, arrays, expected):
        return check.tolerances(expected, self.parts.moved_outputs(arrays))

    def missing_kernel(self, path):
        """What is wrong with the kernels of the file at `path`, which has this model's scheme; `None` if nothing is."""
        try:
            check.weights(read(path), self.parts.tensors, path.suffix.removeprefix("."), self.parts.silenced)
        except check.ExportError as error:
            return str(error)
        return None


class FileReference:
    """A `.tflite` or `.onnx` file."""

    input_range = (-1.0, 1.0)

    def __init__(self, path):
        self.path, self.name = path, str(path)
        self.scheme, self.ports = scheme(path), ports(path)

    def outputs(self, arrays):
        return isolated.run(self.path, arrays)

    def tolerance(self, arrays, expected):
        return check.tolerances(expected, None)


def find(reference, scheme=None, reduce_range=False):
    """The reference for a Keras model, as it is in a file of that scheme and range, or for the path of a file."""
    if isinstance(reference, keras.Model):
        return ModelReference(reference, scheme, reduce_range)
    return FileReference(Path(reference))


def reduce_range(path):
    """Whether the file at `path` is an `.onnx` file that `ks.export` wrote with int8 weights of 7 bits."""
    if path.suffix != ".onnx":
        return False
    from keras_sparse.exporting.onnx_file import load

    return any(each.key == reduced.KEY for each in load(path).metadata_props)


def read(path):
    """The `StoredModel` of a file."""
    if target.find(path).suffix == ".tflite":
        from keras_sparse.exporting import tflite_file as reader
    else:
        from keras_sparse.exporting import onnx_file as reader
    return reader.read(path)


def ports(path):
    """The inputs of a file, opened here only after a process of its own has run it."""
    isolated.memory(path)
    return open_session(path).inputs


def scheme(path):
    """The scheme in which the file stores kernels and computes, one of those of `scheme.py`, or OTHER."""
    stored = read(path)
    kernels = {str(each.values.dtype) for each in stored.tensors if each.values.ndim >= 2} & KERNELS
    if any(each.dtype == "int8" for each in stored.operations):
        return INT8 if "int8" in kernels else OTHER
    if "int8" in kernels:
        return INT8_WEIGHTS if "float16" not in kernels else OTHER
    return FLOAT16 if "float16" in kernels else FLOAT32


def random_items(reference, count):
    """Inputs within the range of the reference's input where that is known, else in [-1, 1]; integers are 0 or 1."""
    return samples.drawn(reference.ports, *reference.input_range, count)
