"""`prepare`: wraps what the recipe quantizes, and puts ranges where the runtime rounds."""

import keras
from keras import layers

from keras_sparse.recipe import Recipe, matches
from keras_sparse.train import expand, graph, kernels, plan, roles
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights

OWN_STEPS = ("train_step", "test_step", "predict_step", "compute_loss")
"""Methods that a model class may have of its own."""


def prepare(model, recipe):
    """A model ready for the quantization-aware training that `recipe` asks for; `model` itself is not changed.

    Dense, Conv2D and DepthwiseConv2D layers that the recipe's `Quantize` rule matches are wrapped, and activation
    ranges are put at the ends of what the runtime fuses: convolution or Dense [+ BatchNorm] [+ ReLU or ReLU6], Add
    [+ ReLU], pooling, concatenation. Both do nothing until `Sparsify` switches them on. Weights are copied; compile the
    result before training. An activation that is not fused, such as a softmax in a Dense layer, becomes a layer of
    its own. The layers of a model inside the model stand in its place, called `outer_inner`. Layers that cannot be
    quantized stay float: `ks.sparsity(model)` and the report of an export name them.

    Args:
        model: a built functional or Sequential Keras model. Where the recipe quantizes nothing, any model, which is
            returned as it is.
        recipe: a `Recipe`.

    Raises:
        ValueError: the `Quantize` rule matches no layer, or the model has no graph to rebuild.

    >>> import keras
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(4, activation="relu", name="d")])
    >>> [layer.name for layer in ks.prepare(model, ks.Recipe([ks.Quantize()])).layers]
    ['x', 'x_range', 'd', 'd_range']
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe. Received: {recipe!r}")
    if recipe.quantize is None:
        return model
    if any(isinstance(layer, QuantizedWeights) for layer in kernels.walk(model)):
        raise ValueError(f"Model {model.name!r} is prepared already: it has QuantizedWeights layers.")
    prepared = _Preparation(model, recipe.quantize).run()
    lost = [name for name in OWN_STEPS if getattr(type(prepared), name) is not getattr(type(model), name)]
    if lost:
        raise ValueError(
            f"{type(model).__name__} has its own {', '.join(lost)}, which the prepared model would not have: its class "
            "cannot be made anew from inputs and outputs. Give it the constructor of keras.Model, or put its layers in "
            "keras_sparse.train.wrapper.QuantizedWeights by hand."
        )
    return prepared


class _Preparation:
    """Builds what the plan says: calls are made in the order in which they were traced."""

    def __init__(self, model, rule):
        self.model = expand.expanded(graph.functional(model), subclassed=False)
        replaceable = {id(layer) for layer in self.model.layers}  # not those of a model inside the model
        self.selected = {
            id(kernel.layer)
            for kernel in kernels.find(self.model)
            if id(kernel.layer) in replaceable
            and matches(rule.match, kernel.path)
            and roles.role(kernel.layer)[0] == roles.WEIGHTED
        }
        if not self.selected:
            paths = [kernel.path for kernel in kernels.find(self.model)]
            raise ValueError(
                f"Only Dense, Conv2D and DepthwiseConv2D layers can be int8, and {rule.match!r} matches none of "
                f"{self.model.name!r}. Its kernels: {paths}"
            )
        self.trace = graph.trace(self.model)
        self.plan = plan.plan(self.trace, self.selected)
        self.calls = iter(zip(self.trace.calls, self.plan.roles, self.plan.reads, strict=True))
        self.names = {layer.name for layer in self.model.layers}
        self.layers = {}  # range -> its layer
        self.ranged = {}  # tensor -> itself on its range

    def run(self):
        prepared = graph.rebuild(self.model, self.call, self.make)
        keys = iter(self.trace.outputs)
        outputs = keras.tree.map_structure(lambda tensor: self.on_range(next(keys), tensor), prepared.output)
        return type(prepared)(prepared.input, outputs, name=self.model.name)

    def make(self, layer):
        if id(layer) not in self.selected:
            return None
        config = layer.get_config()
        if not roles.fuses(layer):
            config["activation"] = "linear"
        inner = type(layer).from_config(config)
        # Built here and not by the wrapper, its variables have the layer's name once in their paths.
        inner.build_from_config(layer.get_build_config())
        inner.set_weights(layer.get_weights())
        return QuantizedWeights(inner, name=layer.name)

    def call(self, old, new, args, kwargs):
        traced, role, read = next(self.calls)
        keys = iter(traced.inputs)

        def take(argument):
            if not isinstance(argument, keras.KerasTensor):
                return argument
            key = next(keys)
            return argument if read == plan.AS_IS else self.on_range(key, argument)

        args, kwargs = keras.tree.map_structure(take, (args, kwargs))
        outputs = new(*args, **kwargs)
        if role == roles.WEIGHTED and not roles.fuses(old):
            name = self.unused(f"{old.name}_{roles.activation_name(old.activation)}")
            raw = ActivationRange(name=self.unused(f"{old.name}_range"))(outputs, site=0)
            outputs = layers.Activation(old.activation, name=name)(raw)
        elif role in (roles.AVERAGED, roles.SHARED):
            # The runtime rounds to the range of the inputs again.
            outputs = self.layers[self.plan.range_of[traced.outputs[0]]](outputs)
        return outputs

    def on_range(self, key, tensor):
        """`tensor` on its range, the same one for all who ask; itself where it has none, or comes out on it."""
        if key not in self.plan.site_of:
            return tensor
        if key not in self.ranged:
            number = self.plan.range_of[key]
            if number not in self.layers:
                name = self.unused(f"{self.producer(key)}_range")
                self.layers[number] = ActivationRange(self.plan.sites[number], name=name)
            self.ranged[key] = self.layers[number](tensor, site=self.plan.site_of[key])
        return self.ranged[key]

    def producer(self, key):
        """The name of the layer that a tensor comes out of."""
        if key in self.trace.inputs:
            return self.model.inputs[self.trace.inputs.index(key)].name
        return next(call.layer.name for call in self.trace.calls if key in call.outputs)

    def unused(self, name):
        """`name`, with a number where the model has it already."""
        number, free = 1, name
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free
