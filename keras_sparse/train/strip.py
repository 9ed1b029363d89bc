"""`strip`: back from training to a plain model, and to the values that files are made of."""

from dataclasses import dataclass

import keras

from keras_sparse.int8 import on_grid
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.train import expand, graph, kernels, roles
from keras_sparse.train.fake_quant import quantize_activation
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights


@keras.saving.register_keras_serializable(package="keras_sparse")
class FixedRange(keras.layers.Layer):
    """Fake-quantizes its input to int8 over the range `[low, high]`: an `ActivationRange` that has learned.

    Args:
        low: real value of the lowest level, at most 0.
        high: real value of the highest level, at least 0.
    """

    def __init__(self, low, high, **kwargs):
        # Limits and levels are float32, whatever the precision of the values; only the output is in theirs.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        if not low <= 0.0 <= high or not low < high:
            raise ValueError(f"A range holds 0 and is not empty. Received: low={low}, high={high}")
        self.low, self.high = float(low), float(high)

    def call(self, inputs):
        return quantize_activation(inputs, self.low, self.high)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, **kwargs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Stripped:
    """What an exporter takes: the plain model, and its kernels as they will be stored."""

    model: keras.Model
    tensors: tuple[SparseTensor, ...]
    float_layers: dict[str, str]
    """Layers that stay float in an int8 model, with the reason."""

    @property
    def silenced(self):
        """Whether a batch norm multiplies a channel by 0."""
        norms = [layer for layer in kernels.walk(self.model) if isinstance(layer, keras.layers.BatchNormalization)]
        return any(layer.scale and not keras.ops.convert_to_numpy(layer.gamma).all() for layer in norms)


def strip(model):
    """A plain Keras model with what training did in it: the zeros, int8-rounded kernels, and fixed ranges.

    Wrappers are gone; kernels that were quantized lie on their int8 grid, and each learned range is a `FixedRange`
    layer, so predictions are those of `model`. A model that was never prepared is returned as it is: its zeros are in
    its weights.

    Raises:
        ValueError: quantization is on but a range has not seen a training batch yet; the layer is named.

    >>> import keras
    >>> import numpy as np
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(4, activation="relu", name="d")])
    >>> plain = ks.strip(ks.calibrate(model, np.ones((2, 8), "float32")))
    >>> [type(layer).__name__ for layer in plain.layers]
    ['InputLayer', 'FixedRange', 'Dense', 'FixedRange']
    """
    ours = (QuantizedWeights, ActivationRange)
    if not any(isinstance(layer, ours) for layer in kernels.walk(model)):
        return model
    model = expand.expanded(graph.functional(model), subclassed=False)
    wrapped, names = [], {}

    def make(layer):
        if isinstance(layer, ActivationRange):
            return layer  # only its limits are used
        if isinstance(layer, QuantizedWeights):
            wrapped.append((layer, type(layer.layer).from_config(layer.layer.get_config())))
            return wrapped[-1][1]
        return None

    def call(old, new, args, kwargs):
        if not isinstance(old, ActivationRange):
            return new(*args, **kwargs)
        if not float(old.active):
            return args[0]
        low, high = _limits(old)

        names[old.name] = names.get(old.name, 0) + 1
        name = old.name if names[old.name] == 1 else f"{old.name}_{names[old.name]}"
        return FixedRange(low, high, name=name)(args[0])

    plain = graph.rebuild(model, call, make)
    for old, new in wrapped:
        new.set_weights(old.layer.get_weights())
        if float(old.active):
            for kernel in kernels.find(new):
                kernel.variable.assign(_on_grid(kernel).dense())
    return plain


def _limits(layer):
    if not layer.started:
        raise ValueError(
            f"The range of {layer.name!r} is not known: no training batch has passed since quantization was switched "
            "on. Train some steps more."
        )
    low, high = layer.limits()
    return float(low), float(high)


def _on_grid(kernel):
    return SparseTensor.quantized(kernel.path, keras.ops.convert_to_numpy(kernel.variable), kernel.layout)


def stripped(model, samples=None):
    """`strip(model)` as a functional model, with its kernels: int8 where the model was prepared for it.

    `samples` are those of `expand.wrapped`, for a subclassed model that was never called.
    A model that is stripped already does not say; there a kernel is int8 if it lies on a grid and there are ranges.
    """
    wrappers = check_switched_on(model)
    plain = expand.wrapped(strip(model), samples)
    found = kernels.find(plain)
    own = {id(layer) for layer in plain.layers}
    names = [each.layer.name for each in wrappers if float(each.active)] or [each.name for each in plain.layers]
    int8 = [bool(fixed_ranges(plain)) and id(each.layer) in own and each.layer.name in names for each in found]
    tensors = tuple(_tensor(kernel, possible) for kernel, possible in zip(found, int8, strict=True))
    if not fixed_ranges(plain):
        return Stripped(plain, tensors, {})
    # Operations are layers, and functions of keras.ops.
    reasons = {each.name: roles.role(each)[1] for each in plain.operations if roles.role(each)[1]}
    reasons.update(_unfused(plain))
    for kernel, tensor in zip(found, tensors, strict=True):
        if tensor.scale is None:
            matched = "the recipe's Quantize rule does not match it"
            reasons.setdefault(kernel.layer.name, matched if id(kernel.layer) in own else "inside a float layer")
    return Stripped(plain, tensors, reasons)


def _unfused(plain):
    """{name: reason} of the BatchNorms that no layer before them takes in."""
    trace, reasons = graph.trace(plain), {}
    uses = trace.uses()
    producers = {tensor: call.layer for call in trace.calls for tensor in call.outputs}
    for call in trace.calls:
        if roles.role(call.layer)[0] == roles.BATCH_NORM:
            before = producers.get(call.inputs[0])
            weighted = before is not None and roles.role(before)[0] == roles.WEIGHTED
            if not weighted or uses[call.inputs[0]] > 1 or roles.activation_name(before.activation) != "linear":
                reasons[call.layer.name] = "no convolution or Dense layer right before it to fuse it into"
    return reasons


def check_switched_on(model):
    """The `QuantizedWeights` of a model. Raises ValueError where quantization was never switched on in any of them."""
    wrappers = [layer for layer in kernels.walk(model) if isinstance(layer, QuantizedWeights)]
    if wrappers and not any(float(layer.active) for layer in wrappers):
        raise ValueError(
            f"Model {model.name!r} is prepared for int8, but quantization was never switched on. Fit it with "
            "callbacks=[ks.Sparsify(recipe)] beyond the recipe's begin, or export ks.strip(model), which is float."
        )
    return wrappers


def fixed_ranges(model):
    """The `FixedRange` layers of a stripped model; a model without any is float."""
    return [layer for layer in model.layers if isinstance(layer, FixedRange)]


def _tensor(kernel, int8):
    values = keras.ops.convert_to_numpy(kernel.variable)
    split = on_grid(values, kernel.layout.channel_axes) if int8 else None
    return SparseTensor(kernel.path, *(split or (values, None)), kernel.layout)
