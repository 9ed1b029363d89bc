"""A Keras model as targets see it: its kernels with how each will be stored, and its calls as neutral operations."""

import dataclasses
import math

import keras
import numpy as np
from keras import layers

from keras_sparse.targets import xnnpack_cnn as cnn
from keras_sparse.targets.network import (
    CONV,
    DENSE,
    DEPTHWISE,
    FLOAT16,
    FLOAT32,
    INT8,
    INT8_WEIGHTS,
    OTHER,
    Layer,
    Network,
    Operation,
)
from keras_sparse.train import expand, graph, kernels, roles
from keras_sparse.train.strip import FixedRange
from keras_sparse.train.wrapper import QuantizedWeights

HYBRID = (layers.Dense, layers.Conv2D, layers.DepthwiseConv2D)
"""Layers whose weights are int8 where activations stay float."""

BATCH_NORM, IDENTITY = "batch norm", "identity"

UNARY = ("relu", "relu6", "sigmoid", "tanh", "silu", "swish", "elu", "leaky_relu")
"""Activations that are one operation on each value, or that with a multiplication."""

PLAIN = {
    layers.Add: cnn.ADD,
    layers.Multiply: cnn.MULTIPLY,
    layers.LeakyReLU: cnn.UNARY,
    layers.ReLU: cnn.UNARY,
    layers.ELU: cnn.UNARY,
    layers.BatchNormalization: BATCH_NORM,
    layers.Identity: IDENTITY,
    layers.ActivityRegularization: IDENTITY,
    layers.Dropout: IDENTITY,
    layers.SpatialDropout1D: IDENTITY,
    layers.SpatialDropout2D: IDENTITY,
    layers.GaussianNoise: IDENTITY,
    layers.GaussianDropout: IDENTITY,
}
"""Layers that are one operation whatever their arguments."""

FUNCTIONS = {"Add": cnn.ADD, "Multiply": cnn.MULTIPLY, "Relu": cnn.UNARY, "Relu6": cnn.UNARY, "Sigmoid": cnn.UNARY,
             "Tanh": cnn.UNARY, "Silu": cnn.UNARY}  # fmt: skip
"""Operations of keras.ops by the name of their class."""


def read(model, quantize=None):
    """The `Network` of a built Keras model.

    Args:
        model: any Keras model. The layers of models inside it are called as `prepare` calls them; of one whose `call`
            cannot be read there are kernels only.
        quantize: as `ks.export` takes it. `None`: int8 where the model is prepared for it, else float32.
    """
    if not kernels.find(model):
        raise ValueError(f"Model {model.name!r} has no kernels; if it is not built yet, call it once.")
    given, paths = model, {}
    if graph.has_graph(model):
        model = expand.expanded(graph.functional(model), subclassed=False)
    else:
        model = expand.expanded(expand.wrapped(model))
        paths = _paths(given, model)
    found = kernels.find(model)
    calls, missing = None, None
    try:
        calls = _Calls(quantize in (FLOAT16, FLOAT32, None) and not _has_ranges(model))
        outputs = calls.follow(graph.functional(model))
    except ValueError as error:
        calls, missing = None, str(error)
    schemes = _Schemes(model, quantize, missing)
    made = tuple(_layer(kernel, *schemes.of(kernel.layer), calls) for kernel in found)
    made = tuple(dataclasses.replace(each, name=paths.get(each.name, each.name)) for each in made)
    if calls is None:
        return Network(made, no_graph_because=missing)
    return Network(made, calls.folded(outputs), tuple(outputs))


def _paths(given, opened):
    """{path in `opened`: path in `given`}: the copy of a kernel has its values."""
    found, left = {}, list(kernels.find(given))
    for kernel in kernels.find(opened):
        values = keras.ops.convert_to_numpy(kernel.variable)
        same = (each for each in left if np.array_equal(keras.ops.convert_to_numpy(each.variable), values))
        original = next(same, None)
        if original is not None:
            found[kernel.path] = original.path
            left.remove(original)
    return found


def _has_ranges(model):
    return any(isinstance(layer, QuantizedWeights | FixedRange) for layer in kernels.walk(model))


class _Schemes:
    """How each layer will be stored, and why one stays float where int8 was asked for."""

    def __init__(self, model, quantize, missing):
        self.quantize, self.missing = quantize, missing
        walked = kernels.walk(model)
        self.wrapped = {id(each.layer) for each in walked if isinstance(each, QuantizedWeights)}
        self.stripped = any(isinstance(each, FixedRange) for each in walked)
        self.own = {id(each) for each in getattr(model, "layers", ())} | self.wrapped

    def of(self, layer):
        """`(scheme, reason or None)`."""
        if self.quantize == INT8_WEIGHTS:
            hybrid = type(layer) in HYBRID
            return (INT8_WEIGHTS, None) if hybrid else (FLOAT32, f"{type(layer).__name__} has no int8-weights form")
        if self.quantize in (FLOAT16, FLOAT32):
            return self.quantize, None
        if self.quantize is None and self.wrapped:
            return (INT8, None) if id(layer) in self.wrapped else (FLOAT32, "the Quantize rule does not match it")
        if self.quantize is None and not self.stripped:
            return FLOAT32, None
        if self.missing is not None:
            return FLOAT32, self.missing
        role, reason = roles.role(layer)
        if role != roles.WEIGHTED:
            return FLOAT32, reason
        return (INT8, None) if id(layer) in self.own else (FLOAT32, "inside a float layer")


def _layer(kernel, scheme, reason, calls):
    matrices = kernel.matrices()
    positions, rows, cols = matrices.shape
    kind, name = _kind(kernel), kernel.layer.name
    if isinstance(kernel.layer, layers.SeparableConv2D):
        name = f"{name}/{'pointwise' if kind == CONV else 'depthwise'}"
    return Layer(
        kernel.path,
        kind,
        type(kernel.layer).__name__,
        positions,
        rows,
        cols,
        scheme,
        zeros=int(matrices.size - np.count_nonzero(matrices)),
        kept=matrices != 0,
        vectors=_vectors(kernel, calls, name),
        operation=None if calls is None else name,
        float_because=reason,
    )


def _kind(kernel):
    layer = kernel.layer
    if isinstance(layer, layers.Dense):
        return DENSE
    if isinstance(layer, layers.DepthwiseConv2D) or kernel.variable.name == "depthwise_kernel":
        return DEPTHWISE if kernel.variable.shape and len(kernel.variable.shape) == 4 else OTHER
    if isinstance(layer, layers.SeparableConv2D):
        return CONV
    return CONV if isinstance(layer, layers.Conv2D) and layer.groups == 1 else OTHER


def _vectors(kernel, calls, name):
    """How many input vectors meet the kernel, for one item."""
    if isinstance(kernel.layer, layers.Dense):
        return _product(kernel.layer.get_build_config()["input_shape"][1:-1])
    return None if calls is None else calls.pixels.get(name)


def _product(sizes):
    return None if None in sizes else math.prod(sizes)


class _Calls:
    """The calls of a model, those of the models inside it among them, as operations; tensors are numbered."""

    def __init__(self, floats):
        self.floats = floats
        self.operations, self.pixels, self.foldable = [], {}, set()
        self.count = 0

    def number(self):
        self.count += 1
        return self.count

    def follow(self, model, inputs=None):
        """Adds the operations of a functional model; returns the numbers of its outputs, in order."""
        numbers, alive, order = {}, [], []

        def call(old, new, args, kwargs):
            outputs = new(*args, **kwargs)
            order.append((old, graph.tensors((args, kwargs)), keras.tree.flatten(outputs)))
            return outputs

        again = graph.rebuild(model, call)
        for tensor, number in zip(again.inputs, inputs or [self.number() for _ in again.inputs], strict=True):
            numbers[id(tensor)] = number
        for layer, sources, made in order:
            alive.append((sources, made))  # ids are only unique among living tensors
            given = [numbers[id(tensor)] for tensor in sources]
            for tensor, number in zip(made, self.add(layer, sources, made, given), strict=True):
                numbers[id(tensor)] = number
        return [numbers[id(tensor)] for tensor in again.outputs]

    def add(self, layer, sources, made, given):
        """The operations of one call; returns the numbers of its outputs."""
        if isinstance(layer, QuantizedWeights):
            layer = layer.layer
        if isinstance(layer, keras.Model):
            return self.follow(graph.functional(layer), given)
        shape = tuple(sources[0].shape) if sources else ()
        for name, kind, arguments in _describe(layer, shape, len(given)):
            if kind == IDENTITY:
                continue
            made_here = [self.number() for _ in made]
            rank = max((len(each.shape) for each in sources), default=0)
            self.operations.append(
                Operation(name, kind, tuple(given), tuple(made_here), rank=rank, floats=self.floats, **arguments)
            )
            if kind in (CONV, DEPTHWISE):
                pixels = _product(tuple(made[0].shape)[1:-1])
                self.pixels[name] = None if pixels is None else pixels + (self.pixels.get(name) or 0)
                if roles.activation_name(layer.activation) == "linear":
                    self.foldable.update(made_here)
            given = made_here
        return given[: len(made)] if len(given) >= len(made) else [*given, *(self.number() for _ in made[len(given) :])]

    def folded(self, outputs):
        """The operations without the batch norms that converters fold into the convolution before them.

        `outputs` is changed with them.
        """
        uses = [tensor for each in self.operations for tensor in each.inputs] + outputs
        renamed, kept = {}, []
        for each in self.operations:
            inputs = tuple(renamed.get(tensor, tensor) for tensor in each.inputs)
            source = each.inputs[0] if each.inputs else None
            if each.kind == BATCH_NORM and source in self.foldable and uses.count(source) == 1:
                renamed[each.outputs[0]] = inputs[0]
            else:
                kept.append(Operation(**{**vars(each), "inputs": inputs}))
        outputs[:] = [renamed.get(tensor, tensor) for tensor in outputs]
        return tuple(kept)


def _describe(layer, shape, count):
    """`[(name, kind, arguments of Operation)]` of one call on an input of `shape`, in order."""
    name = layer.name
    if isinstance(layer, layers.SeparableConv2D):
        depthwise = _window(layer, shape, multiplier=layer.depth_multiplier)
        found = [(f"{name}/depthwise", DEPTHWISE, depthwise), (f"{name}/pointwise", CONV, {})]
        return found + _activation(layer)
    if isinstance(layer, layers.DepthwiseConv2D):
        return [(name, DEPTHWISE, _window(layer, shape, multiplier=layer.depth_multiplier)), *_activation(layer)]
    if type(layer) is layers.Conv2D:
        return [(name, CONV, _window(layer, shape, groups=layer.groups)), *_activation(layer)]
    if isinstance(layer, layers.Dense):
        return [(name, DENSE, {}), *_activation(layer)]
    if isinstance(layer, layers.Activation):
        return _activation(layer)
    if isinstance(layer, layers.GlobalAveragePooling2D):
        return [(name, cnn.MEAN, {"keepdims": bool(layer.keepdims)})]
    if isinstance(layer, layers.ZeroPadding2D):
        return [(name, cnn.PAD, {"padding": tuple(map(tuple, layer.padding)), "size": _size(shape)})]
    if isinstance(layer, layers.UpSampling2D) and layer.interpolation == "bilinear":
        return [(name, cnn.RESIZE, {})]
    if type(layer) in PLAIN:
        return [(name, PLAIN[type(layer)], {})]
    if type(layer).__module__.startswith("keras_sparse."):
        return [(name, IDENTITY, {})]
    kind = FUNCTIONS.get(type(layer).__name__) if not isinstance(layer, keras.Layer) else None
    if kind in (cnn.ADD, cnn.MULTIPLY) and count != 2:
        kind = None  # with a constant, which the rules do not know the shape of
    return [(name, kind or type(layer).__name__, {})]


def _activation(layer):
    """The operation that a layer's own activation is, where no runtime fuses it."""
    name = roles.activation_name(layer.activation)
    if not isinstance(layer, layers.Activation) and name in roles.FUSED_ACTIVATIONS:
        return []
    kind = IDENTITY if name == "linear" else cnn.UNARY if name in UNARY else f"activation {name}"
    return [(layer.name, kind, {})]


def _window(layer, shape, **others):
    kernel, strides, dilation = (tuple(each) for each in (layer.kernel_size, layer.strides, layer.dilation_rate))
    size = _size(shape)
    same = layer.padding == "same"
    padding = tuple(_same(*each) for each in zip(size or (None, None), kernel, strides, dilation, strict=True))
    return {
        "kernel": kernel,
        "strides": strides,
        "dilation": dilation,
        "channels": shape[-1] or 0,
        "size": size,
        "padding": padding if same else ((0, 0), (0, 0)),
        "same": same and kernel != (1, 1),
        **others,
    }


def _same(size, kernel, stride, dilation):
    """Zeros before and after one axis for padding="same", the odd one after; stride 1 needs no size."""
    if size is None:
        size = stride  # as for every multiple of the stride
    reach = (kernel - 1) * dilation + 1
    missing = max(0, (math.ceil(size / stride) - 1) * stride + reach - size)
    return missing // 2, missing - missing // 2


def _size(shape):
    return tuple(shape[1:3]) if len(shape) == 4 and None not in shape[1:3] else None
