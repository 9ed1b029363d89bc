"""Schemes: in which numbers a file stores weights and computes, and how far a right file may be from the model."""

import contextlib
import dataclasses
from dataclasses import dataclass

import keras
import numpy as np

from keras_sparse.exporting import reduced
from keras_sparse.int8 import REDUCED_MAX, WEIGHT_MAX
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS
from keras_sparse.train import batches, expand, jitter, kernels, precision
from keras_sparse.train.calibrate import calibrate
from keras_sparse.train.network import HYBRID
from keras_sparse.train.strip import check_switched_on, fixed_ranges, strip, stripped

QUANTIZE = (None, INT8, INT8_WEIGHTS, FLOAT16)
"""What `export(quantize=)` takes: None keeps what training did."""


@dataclass(frozen=True)
class Exportable:
    """A model as a file will hold it.

    Attributes:
        scheme: FLOAT32; FLOAT16 (weights, or weights and arithmetic); INT8 (weights and activations, with ranges known
            beforehand); INT8_WEIGHTS (int8 weights, float activations, whose ranges a runtime may measure).
        model: a functional Keras model.
        tensors: its kernels as they will be stored.
        values: `[(variable, value)]` where the file holds another value than the variable.
        unread: kernels inside layers, or models whose `call` cannot be read: how they compute cannot be chosen.
        float_layers: {layer that stays float in an int8 model: reason}.
        silenced: whether a batch norm multiplies a channel by 0.
        notes: what else to know about it.
        reduce_range: whether int8 kernels are within [-64, 64] where `reduced.py` says so.
    """

    scheme: str
    model: keras.Model
    tensors: tuple[SparseTensor, ...]
    float_layers: dict[str, str]
    silenced: bool
    values: tuple = ()
    unread: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    reduce_range: bool = False

    def outputs(self, arrays):
        """What the model computes with the values that the file holds, a list of one array per output."""
        with self.applied():
            return batches.outputs(self.model, arrays)

    def moved_outputs(self, arrays):
        """The same with every rounded value moved by a rounding, or `None` where only float32 rounds."""
        if self.scheme == FLOAT32:
            return None
        move = {INT8: jitter.static, INT8_WEIGHTS: jitter.dynamic, FLOAT16: jitter.half}[self.scheme]
        with self.applied():
            opened = expand.expanded(self.model)
            with _assigned(jitter.half_weights(opened) if self.scheme == FLOAT16 else ()):
                return move(opened, arrays)

    def applied(self):
        """A context in which the variables of the model, which may be the user's, have the values of the file."""
        return _assigned(self.values)

    def part(self, layer):
        """The model up to a layer."""
        model = keras.Model(self.model.input, layer.output)
        inside = {kernel.path for kernel in kernels.find(model)}
        scheme = FLOAT32 if self.scheme == INT8 and not fixed_ranges(model) else self.scheme
        tensors = tuple(tensor for tensor in self.tensors if tensor.name in inside)
        return dataclasses.replace(self, scheme=scheme, model=model, tensors=tensors)


@dataclass(frozen=True)
class Emitted:
    """What a format makes of an `Exportable`.

    Attributes:
        data: the bytes of the file.
        tensors: the kernels as the file stores them.
        reasons: {kernel: why it is stored as it is}.
        notes: what else to know about it.
    """

    data: bytes
    tensors: tuple[SparseTensor, ...]
    reasons: dict[str, str]
    notes: tuple[str, ...] = ()


def exportable(model, samples=None, quantize=None, reduce_range=False):
    """The `Exportable` of a Keras model, plain or prepared, for one of `QUANTIZE`."""
    if quantize == INT8 and samples is None:
        raise ValueError('quantize="int8" measures activation ranges on samples. Received: samples=None')
    if quantize == INT8 and (check_switched_on(model) or fixed_ranges(model)):
        raise ValueError(
            f"Model {model.name!r} was quantized in training. Received: quantize={quantize!r}; export it with "
            "quantize=None, or the model before ks.prepare."
        )
    _check_finite(model)
    halves, notes = precision.half_layers(model), ()
    if halves:
        check_switched_on(model)
        model = precision.in_float32(expand.wrapped(strip(model), samples))
        notes = (f"The model computes in {halves[0].compute_dtype}, the file and what it is held against in float32.",)
    if quantize == INT8:
        model = calibrate(model, samples)
    parts = stripped(model, samples)
    if fixed_ranges(parts.model):
        if quantize in (INT8_WEIGHTS, FLOAT16):
            raise ValueError(
                f"Model {model.name!r} was quantized in training, its activations have int8 ranges. Received: "
                f"quantize={quantize!r}; export it with quantize=None, or the model before ks.prepare."
            )
        made = Exportable(INT8, parts.model, parts.tensors, parts.float_layers, parts.silenced, notes=notes)
        return _reduced(made) if reduce_range else made
    made = Exportable(quantize or FLOAT32, parts.model, parts.tensors, {}, parts.silenced, notes=notes)
    return _on_grid(made, reduce_range) if quantize == INT8_WEIGHTS else made


def _check_finite(model):
    """A weight that is no number has no level of int8: it would become some other one."""
    inside = {id(kernel.variable) for kernel in kernels.find(model)}
    for variable in model.weights:
        if "float" not in variable.dtype:
            continue
        values = keras.ops.convert_to_numpy(variable)
        wrong = ~np.isfinite(values) if id(variable) in inside else np.isnan(values)
        if wrong.any():
            raise ValueError(
                f"Weights must be finite numbers. Received: {variable.path} with {np.count_nonzero(wrong)} of "
                f"{values.size} NaN or infinite"
            )


def _reduced(exportable):
    """An int8 model with its kernels within [-64, 64] where `reduced.py` says so, rounded once more."""
    tensors, values = [], []
    for kernel, tensor in zip(kernels.find(exportable.model), exportable.tensors, strict=True):
        most = reduced.largest(kernel, INT8)
        if tensor.scale is not None and most < WEIGHT_MAX:
            tensor = SparseTensor.quantized(tensor.name, tensor.dense(), tensor.layout, most)
            values.append((kernel.variable, tensor.dense()))
        tensors.append(tensor)
    return dataclasses.replace(exportable, tensors=tuple(tensors), values=tuple(values), reduce_range=bool(values))


def _on_grid(exportable, reduce_range):
    """The same with the kernels of Dense, Conv2D and DepthwiseConv2D layers on an int8 grid."""
    tensors, values, floats, limits = [], [], {}, []
    for kernel, tensor in zip(kernels.find(exportable.model), exportable.tensors, strict=True):
        if type(kernel.layer) in HYBRID and tensor.values.dtype == "float32":
            most = reduced.largest(kernel, INT8_WEIGHTS) if reduce_range else WEIGHT_MAX
            tensor = SparseTensor.quantized(tensor.name, tensor.values, tensor.layout, most)
            values.append((kernel.variable, tensor.dense()))
            limits.append(most)
        else:
            floats[kernel.layer.name] = f"{type(kernel.layer).__name__} has no int8-weights form"
        tensors.append(tensor)
    if not values:
        raise ValueError(
            f"Model {exportable.model.name!r} has no Dense, Conv2D or DepthwiseConv2D layer in float32 whose weights "
            f"could be int8. Its layers with kernels: {floats}"
        )
    opened = expand.expanded(exportable.model)
    own = {id(layer) for layer in opened.layers}
    # Copies have the values of what they are copies of.
    read = [keras.ops.convert_to_numpy(k.variable) for k in kernels.find(opened) if id(k.layer) in own]
    unread = frozenset(
        kernel.path
        for kernel in kernels.find(exportable.model)
        if not any(np.array_equal(keras.ops.convert_to_numpy(kernel.variable), each) for each in read)
    )
    return dataclasses.replace(
        exportable,
        tensors=tuple(tensors),
        values=tuple(values),
        unread=unread,
        float_layers=floats,
        reduce_range=REDUCED_MAX in limits,
    )


@contextlib.contextmanager
def _assigned(values):
    """Variables have these values within the context, and their own again after it."""
    before = [(variable, keras.ops.convert_to_numpy(variable)) for variable, _ in values]
    try:
        for variable, value in values:
            variable.assign(value)
        yield
    finally:
        for variable, value in before:
            variable.assign(value)
