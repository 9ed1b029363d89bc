"""What a file is held against: a Keras model, or another file."""

from pathlib import Path

import keras

from keras_sparse import target
from keras_sparse.exporting import check, samples
from keras_sparse.exporting.scheme import exportable
from keras_sparse.runtime import isolated, open_session
from keras_sparse.runtime.port import Port
from keras_sparse.train.strip import fixed_ranges

FLOAT, INT8, OTHER = "float32", "int8", "other than float32 and int8 throughout"
"""Schemes: how a model or a file computes."""


class ModelReference:
    """A Keras model, plain or prepared."""

    def __init__(self, model):
        self.parts = exportable(model)
        self.model, self.name = self.parts.model, f"the model {model.name!r}"
        self.ranges = fixed_ranges(self.model)
        self.scheme = INT8 if self.ranges else FLOAT
        self.ports = [Port(each.name, tuple(each.shape), each.dtype) for each in self.model.inputs]

    @property
    def input_range(self):
        return (self.ranges[0].low, self.ranges[0].high) if self.ranges else (-1.0, 1.0)

    def outputs(self, arrays):
        """What the model says, one array per output."""
        return self.parts.outputs(arrays)

    def tolerance(self, arrays, expected):
        return check.tolerance(expected, self.parts.moved_outputs(arrays))

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
        return check.tolerance(expected, None)


def find(reference):
    """The reference for a Keras model or the path of a file."""
    return ModelReference(reference) if isinstance(reference, keras.Model) else FileReference(Path(reference))


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
    """FLOAT or INT8 where the file computes in that; OTHER for half precision, or int8 kernels in float operations."""
    stored = read(path)
    kernels = {str(each.values.dtype) for each in stored.tensors if each.values.ndim >= 2}
    int8 = any(each.dtype == "int8" for each in stored.operations)
    if "int8" in kernels and int8:
        return INT8
    return FLOAT if not int8 and not kernels & {"int8", "float16"} else OTHER


def random_items(reference, count):
    """Inputs within the range of the reference's input where that is known, else in [-1, 1]; integers are 0 or 1."""
    return samples.drawn(reference.ports, *reference.input_range, count)
