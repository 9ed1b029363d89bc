"""A Keras 2 model built again, call by call, of Keras 3 layers; what TFMOT learned is noted beside the tensors."""

from dataclasses import dataclass

import keras
import numpy as np

from keras_sparse.migration import layers, same, source, wrappers
from keras_sparse.train import roles


@dataclass(frozen=True)
class Made:
    """A call that was made: the Keras 3 layer, and the ids of its input and output tensors."""

    layer: keras.Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Conversion:
    """Converts one model.

    Attributes:
        calls: a `Made` for each call of a layer, in order.
        inputs: ids of the tensors that are the inputs of the model.
        learned: {(id of a tensor, "output" or "raw"): `Learned`}; "raw" is what the layer's own activation takes.
        int8: {name of a layer whose weights may be int8: whether TFMOT itself quantizes them}; where it does not, the
            layer is for the converter to quantize together with a ReLU layer after it, or was to be left alone.
        quantizes: whether the model is quantized at all.
    """

    def __init__(self, made=None):
        self.calls, self.inputs, self.learned, self.int8, self.quantizes = [], [], {}, {}, False
        self.made = {} if made is None else made  # models inside the model may share layers with it
        self.names, self.alive = set(), []

    def model(self, old):
        """The Keras 3 model: Sequential or functional as `old` is, and functional where that is quantized."""
        graph, self.quantizes = source.read(old), is_quantized(old)
        found = {
            tensor: keras.Input(batch_shape=shape, dtype=dtype, name=_plain(name))
            for tensor, (name, shape, dtype) in graph.shapes.items()
        }
        self.names = {each.name for each in found.values()}
        if source.is_sequential(old) and not self.quantizes:
            fresh = [call.layer for call in graph.calls if id(call.layer) not in self.made]
            new = [self.layer(call.layer) for call in graph.calls]
            made = keras.Sequential([*found.values(), *new], name=_plain(old.name))
            for layer in fresh:
                self.fill(layer, self.made[id(layer)].input, {})
            return made
        inputs = source.replace(graph.inputs, found.__getitem__)
        self.inputs = [id(each) for each in keras.tree.flatten(inputs)]
        return keras.Model(inputs, self.run(graph, found), name=_plain(old.name))

    def run(self, graph, found):
        """Makes the calls of a graph on the tensors that are `found` for its inputs; returns those of its outputs."""
        for call in graph.calls:
            arguments, kwargs = source.replace([call.arguments, call.kwargs], found.__getitem__)
            outputs = self.call(call.layer, arguments, kwargs)
            for number, each in enumerate(keras.tree.flatten(outputs)):
                found[source.Tensor(call.layer.name, call.number, number)] = each
        return source.replace(graph.outputs, found.__getitem__)

    def call(self, old, arguments, kwargs):
        if wrappers.passes(old):
            outputs = arguments
        elif source.is_keras2(old) and is_quantized(old):
            graph = source.read(old)
            return self.run(graph, dict(zip(source.tensors(graph.inputs), keras.tree.flatten(arguments), strict=True)))
        else:
            first = id(old) not in self.made
            new = self.layer(old)
            try:
                outputs = new(arguments, **kwargs)
            except Exception as error:
                raise ValueError(
                    f"Layer {old.name!r} is not called in Keras 3 as it was in Keras 2: {error}"
                ) from error
            if first:
                self.fill(old, arguments, kwargs)
            given, made = _tensors((arguments, kwargs)), _tensors(outputs)
            self.alive += [*given, *made]  # ids are only unique among living tensors
            self.calls.append(Made(new, tuple(map(id, given)), tuple(map(id, made))))
        for site, learned in wrappers.learned(old).items():
            self.learned[id(outputs), site] = learned
        return outputs

    def layer(self, old):
        """The Keras 3 layer for `old`, the same one each time."""
        if id(old) not in self.made:
            self.made[id(old)] = Conversion(self.made).model(old) if source.is_keras2(old) else self.new(old)
        return self.made[id(old)]

    def new(self, old):
        core = wrappers.inner(old)
        new = layers.make(core, self.unused(_plain(core.name)))
        if wrappers.quantizes(old):
            if roles.role(new)[0] == roles.WEIGHTED:
                self.int8[new.name] = bool(wrappers.kernel_quantizers(old))
            elif wrappers.kernel_quantizers(old):
                raise ValueError(
                    f"Layer {core.name!r}: TFMOT quantizes its weights, and here they would stay float: "
                    f"{roles.role(new)[1]}. Leave the layer out of the annotation."
                )
        return new

    def fill(self, old, arguments, kwargs):
        """Copies the weights into the layer made of `old`, and runs both."""
        if source.is_keras2(old):
            return
        core, named, new = wrappers.inner(old), wrappers.weights(old), self.made[id(old)]
        layers.copy_weights(named, core, new)
        if wrappers.is_quantizing(old):
            return  # TFMOT rounds within the layer, and knows only layers of Keras's own
        own = [variable.numpy() for variable in core.weights]
        if all(np.array_equal(one, other) for one, (_, other) in zip(own, named, strict=True)):  # no mask on them
            same.check(core, new, arguments, kwargs)

    def unused(self, name):
        """`name`, with a number where the model has it already."""
        number, free = 1, name
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free


def is_quantized(model):
    """Whether TFMOT quantizes a layer of a Keras 2 model, or of a model inside it."""
    return any(
        is_quantized(layer) if source.is_keras2(layer) else wrappers.is_quantizing(layer) for layer in model.layers
    )


def _tensors(structure):
    return [each for each in keras.tree.flatten(structure) if isinstance(each, keras.KerasTensor)]


def _plain(name):
    return name.replace("/", "_")  # names in Keras 3 have no slashes
