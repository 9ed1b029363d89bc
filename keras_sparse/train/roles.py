"""What each kind of layer is to int8 inference: which layers the runtime computes in int8, and which it fuses."""

import keras
from keras import layers

FUSED_ACTIVATIONS = ("linear", "relu", "relu6")
"""Activations that a runtime computes within the convolution, the Dense layer or the addition before them."""

WEIGHTED = "weighted"  # has a kernel to quantize, and learns the range of its output
COMPUTED = "computed"  # no kernel; its output has a range of its own
SAME = "same"  # moves values without changing them: its output has the range of its input
AVERAGED = "averaged"  # same range, but rounds to it again
SHARED = "shared"  # all inputs and the output have one range
BOUNDED = "bounded"  # the runtime knows the range of its output
BATCH_NORM = "batch norm"  # fused into the weighted layer before it
RELU = "relu"  # fused into the layer before it, else computed
FLOAT = "float"  # stays float

KINDS = {
    WEIGHTED: (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D),
    COMPUTED: (layers.Add, layers.Multiply, layers.GlobalAveragePooling2D),
    SAME: (
        layers.MaxPooling2D,
        layers.GlobalMaxPooling2D,
        layers.Flatten,
        layers.Reshape,
        layers.Dropout,
        layers.SpatialDropout2D,
        layers.ZeroPadding2D,
        layers.Cropping2D,
        layers.Identity,
    ),
    AVERAGED: (layers.AveragePooling2D,),
    SHARED: (layers.Concatenate,),
    BOUNDED: (layers.Softmax,),
    BATCH_NORM: (layers.BatchNormalization,),
}


KEEP_RANGE = (SAME, AVERAGED, SHARED)
"""Roles whose outputs have the range of their inputs."""


def fuses(layer):
    """Whether the runtime computes the layer's own activation within it."""
    return activation_name(layer.activation) in FUSED_ACTIVATIONS


def bounded_level(layer):
    """The step between two levels of a bounded output: 1/128 for tanh, 1/256 for what is in [0, 1]."""
    return 1 / 128 if activation_name(getattr(layer, "activation", None)) == "tanh" else 1 / 256


def activation_name(function):
    """The name of an activation function, such as "relu"; of a function or layer of the user's, its own name."""
    if function is None:
        return "linear"
    name = keras.activations.serialize(function)
    return name if isinstance(name, str) else getattr(function, "__name__", type(function).__name__).strip("<>")


def role(layer):
    """`(role, reason)`; the reason says why a layer stays float, and is `None` for all other roles."""
    if not isinstance(layer, keras.Layer):
        return FLOAT, "an operation of keras.ops, not a layer; layers such as keras.layers.Add can be int8"
    if isinstance(layer, layers.InputLayer) or type(layer).__module__.startswith("keras_sparse."):
        return SAME, None
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return FLOAT, "channels_first is not the layout of the runtimes"
    if isinstance(layer, layers.Activation):
        return _activation(activation_name(layer.activation))
    if isinstance(layer, layers.ReLU):
        plain = layer.negative_slope == 0 and layer.threshold == 0 and layer.max_value in (None, 6)
        return (RELU, None) if plain else (FLOAT, "only ReLU and ReLU6 have int8 kernels")
    for kind, classes in KINDS.items():
        if type(layer) in classes:
            if isinstance(layer, layers.Add | layers.Multiply) and len(getattr(layer, "input", ())) != 2:
                return FLOAT, f"{type(layer).__name__} of other than two inputs"
            return kind, None
    if isinstance(layer, keras.Model):
        return FLOAT, "a model inside a model"
    return FLOAT, f"{type(layer).__name__} is not among the layers that are quantized"


def _activation(name):
    if name == "linear":
        return SAME, None
    if name in FUSED_ACTIVATIONS:
        return RELU, None
    if name in ("softmax", "sigmoid", "tanh"):
        return BOUNDED, None
    return FLOAT, f"activation {name!r} has no int8 kernel in every runtime"
