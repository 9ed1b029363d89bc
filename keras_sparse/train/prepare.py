"""`prepare`: wraps what the recipe quantizes, and puts ranges where the runtime rounds."""

import keras
from keras import layers

from keras_sparse.recipe import Recipe, matches
from keras_sparse.train import graph, kernels, roles
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights


def prepare(model, recipe):
    """A model ready for the quantization-aware training that `recipe` asks for; `model` itself is not changed.

    Dense, Conv2D and DepthwiseConv2D layers that the recipe's `Quantize` rule matches are wrapped, and activation
    ranges are put at the ends of what the runtime fuses: convolution or Dense [+ BatchNorm] [+ ReLU or ReLU6], Add
    [+ ReLU], pooling, concatenation. Both do nothing until `Sparsify` switches them on. Weights are copied; compile the
    result before training. An activation that is not fused, such as a softmax in a Dense layer, becomes a layer of
    its own. Layers that cannot be quantized stay float: `ks.sparsity(model)` and the report of an export name them.

    Args:
        model: a built functional or Sequential Keras model. Where the recipe quantizes nothing, any model, which is
            returned as it is.
        recipe: a `Recipe`.

    Raises:
        ValueError: the `Quantize` rule matches no layer, or the model has no graph to rebuild.
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe. Received: {recipe!r}")
    if recipe.quantize is None:
        return model
    if any(isinstance(layer, QuantizedWeights) for layer in kernels.walk(model)):
        raise ValueError(f"Model {model.name!r} is prepared already: it has QuantizedWeights layers.")
    return _Preparation(model, recipe.quantize).run()


class _Preparation:
    """One walk over the graph: which tensors have a range, and which are still within what the runtime fuses."""

    def __init__(self, model, rule):
        self.model, self.rule = graph.functional(model), rule
        self.uses = graph.consumers(self.model)
        self.ranged = {}  # id(tensor) -> (the tensor with its range, its range layer)
        self.open = {}  # id(tensor) -> layer, of int8 outputs whose fused operation may go on
        self.names_of = {}  # id(tensor) -> name of the layer that made it
        self.alive = []  # ids are only unique among living tensors
        self.names = {layer.name for layer in self.model.layers}

    def run(self):
        self.selected = {
            id(kernel.layer)
            for kernel in kernels.find(self.model)
            if matches(self.rule.match, kernel.path) and roles.role(kernel.layer)[0] == roles.WEIGHTED
        }
        if not self.selected:
            paths = [kernel.path for kernel in kernels.find(self.model)]
            raise ValueError(
                f"Quantize(match={self.rule.match!r}) matches no Dense, Conv2D or DepthwiseConv2D layer of "
                f"{self.model.name!r}. Its kernels: {paths}"
            )
        prepared = graph.rebuild(self.model, self.call, self.make)
        outputs = self.map(prepared.output, self.close)
        return keras.Model(prepared.input, outputs, name=self.model.name)

    def make(self, layer):
        if id(layer) not in self.selected:
            return None
        config = layer.get_config()
        if not self.fuses(layer):
            config["activation"] = "linear"
        inner = type(layer).from_config(config)
        # Built here, its variables have the paths that they had before.
        inner.build_from_config(layer.get_build_config())
        inner.set_weights(layer.get_weights())
        return QuantizedWeights(inner, name=layer.name)

    @staticmethod
    def fuses(layer):
        return roles.activation_name(layer.activation) in roles.FUSED_ACTIVATIONS

    def role(self, layer, args):
        """The role of this call of `layer`, given where its inputs come from."""
        role, _ = roles.role(layer)
        if role == roles.WEIGHTED:
            return role if id(layer) in self.selected else roles.FLOAT
        inputs = graph.tensors(args)
        before = self.open.get(id(inputs[0])) if inputs else None
        alone = before is not None and len(self.uses[id(before)]) == 1
        if role == roles.BATCH_NORM:
            fused = alone and roles.role(before)[0] == roles.WEIGHTED
            return role if fused and roles.activation_name(before.activation) == "linear" else roles.FLOAT
        if role == roles.RELU:
            if alone and roles.role(before)[0] != roles.RELU:
                return role
            role = roles.COMPUTED
        int8 = any(id(tensor) in self.open or id(tensor) in self.ranged for tensor in inputs)
        return role if int8 or self.leads_to_int8(layer) else roles.FLOAT

    def leads_to_int8(self, layer):
        """Whether the values that `layer` moves reach a quantized layer as they are."""
        if roles.role(layer)[0] not in (roles.SAME, roles.AVERAGED, roles.SHARED):
            return False
        after = [each for each in self.uses[id(layer)] if each is not None]
        return any(id(each) in self.selected or self.leads_to_int8(each) for each in after)

    def call(self, old, new, args, kwargs):
        role = self.role(old, args)
        if role in (roles.BATCH_NORM, roles.RELU):
            outputs = new(*args, **kwargs)
            self.open[id(outputs)] = old
        elif role == roles.FLOAT:
            args, kwargs = self.map((args, kwargs), self.close)
            outputs = new(*args, **kwargs)
        else:
            args = self.share(args, old.name) if role == roles.SHARED else self.map(args, self.quantized)
            outputs = self.after(role, old, new(*args, **kwargs), args)
        for tensor in graph.tensors(outputs):
            self.names_of.setdefault(id(tensor), old.name)
        self.alive.append(outputs)
        return outputs

    def after(self, role, layer, outputs, args):
        """Remembers what the outputs of an int8 layer are, and splits off an activation that is not fused."""
        if role in (roles.WEIGHTED, roles.COMPUTED):
            self.open[id(outputs)] = layer
            self.names_of[id(outputs)] = layer.name
            if role == roles.WEIGHTED and not self.fuses(layer):
                self.alive.append(outputs)
                name = self.unused(f"{layer.name}_{roles.activation_name(layer.activation)}")
                return layers.Activation(layer.activation, name=name)(self.quantized(outputs))
        elif role != roles.BOUNDED:
            range_layer = self.ranged[id(graph.tensors(args)[0])][1]
            if role in (roles.SHARED, roles.AVERAGED):
                outputs = range_layer(outputs, observe=False)
            self.ranged[id(outputs)] = (outputs, range_layer)
        return outputs

    def map(self, args, function):
        return keras.tree.map_structure(lambda x: function(x) if isinstance(x, keras.KerasTensor) else x, args)

    def close(self, tensor):
        """The end of a fused operation: its output gets a range; a tensor that is not one stays as it is."""
        return self.quantized(tensor) if id(tensor) in self.open else tensor

    def quantized(self, tensor):
        """`tensor` with a range, the same one for all who ask."""
        if id(tensor) not in self.ranged:
            range_layer = self.range_layer(self.names_of.get(id(tensor), tensor.name))
            self.remember(tensor, range_layer(tensor), range_layer)
        return self.ranged[id(tensor)][0]

    def share(self, args, name):
        """Call arguments with one range for all their tensors, on top of the range that some may have for others."""
        inputs = graph.tensors(args)
        range_layer = self.range_layer(name)
        shared = range_layer([self.ranged[id(each)][0] if id(each) in self.ranged else each for each in inputs])
        for tensor, output in zip(inputs, shared, strict=True):
            self.remember(tensor, output, range_layer)
        replaced = {id(tensor): output for tensor, output in zip(inputs, shared, strict=True)}
        return self.map(args, lambda tensor: replaced[id(tensor)])

    def remember(self, tensor, output, range_layer):
        self.alive.append((tensor, output))
        self.ranged.setdefault(id(tensor), (output, range_layer))
        self.ranged[id(output)] = (output, range_layer)

    def range_layer(self, name):
        return ActivationRange(name=self.unused(f"{name}_range"))

    def unused(self, name):
        """`name`, with a number where the model has it already."""
        number, free = 1, name
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free
