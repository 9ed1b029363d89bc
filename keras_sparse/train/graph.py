"""The graph of a functional or Sequential model, through public `clone_model`: read it, rebuild it."""

import inspect
from collections import Counter
from dataclasses import dataclass

import keras


def functional(model):
    """`model` as a functional one; other models have no graph that can be rebuilt, and are refused."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"Model {model.name!r} is not built, so the shapes of its layers are not known. Start it with "
                "keras.Input(shape), or call it once."
            )
        inputs, outputs = ([*each] if len(each) > 1 else each[0] for each in (model.inputs, model.outputs))
        return keras.Model(inputs, outputs, name=model.name)
    if not has_graph(model):
        raise ValueError(
            f"A functional or Sequential model was required, whose layers can be replaced. Received: {model.name!r}, "
            f"a {type(model).__name__}. A subclassed model can be pruned (ks.Sparsify with Prune rules), but not "
            "prepared for int8 training: build it from keras.Input and layers for that."
        )
    return model


def has_graph(model):
    """Whether the layers of `model` can be read and replaced: a functional or a Sequential model."""
    if isinstance(model, keras.Sequential):
        return model.built
    try:
        return bool(model.inputs and model.outputs)
    except AttributeError:
        return False


def is_subclassed(layer):
    """Whether it is a model without a graph."""
    return isinstance(layer, keras.Model) and not has_graph(layer)


def rebuild(model, call, make=lambda layer: None, keep=lambda layer: False):
    """A functional model with the graph of `model`, of new layers.

    Args:
        call: (old layer, new layer, args, kwargs) -> outputs.
        make: old layer -> what to put in its place, asked once for each layer; `None` for a copy with its weights.
            Lambda layers, and operations that are no layers, have no weights and stay.
        keep: whether a layer stays the one it is, shared with `model`.
    """
    made, origin, copies = {}, {}, []

    def clone(layer):
        if id(layer) not in made:
            # A Lambda cannot be made anew from its configuration, which holds code; it has no weights.
            stays = isinstance(layer, keras.layers.Lambda) or not isinstance(layer, keras.Layer) or keep(layer)
            new = layer if stays else make(layer)
            if new is None:
                new = _again(layer)
                copies.append((layer, new))
            made[id(layer)], origin[id(new)] = new, layer
        return made[id(layer)]

    rebuilt = keras.models.clone_model(
        functional(model),
        clone_function=clone,
        call_function=lambda layer, *args, **kwargs: call(origin[id(layer)], layer, args, kwargs),
    )
    for old, new in copies:
        new.set_weights(old.get_weights())
    return rebuilt


def _again(layer):
    """A layer like `layer`, with weights of its own."""
    if not is_subclassed(layer):
        return type(layer).from_config(layer.get_config())
    try:
        new = type(layer).from_config(layer.get_config())
        new.build_from_config(layer.get_build_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"{layer.name!r}, a {type(layer).__name__} inside the model, cannot be made again: give its class a "
            "`get_config` and a constructor that takes it with **kwargs, or make its `call` of layers and keras.ops."
        ) from error
    return new


def tensors(structure):
    """The Keras tensors among call arguments, in order."""
    return [each for each in keras.tree.flatten(structure) if isinstance(each, keras.KerasTensor)]


@dataclass(frozen=True)
class Key:
    """Stands for a tensor in what a layer is called with."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call of a layer; tensors are numbered in the order in which they are met.

    Attributes:
        inputs, outputs: the numbers of its tensors.
        arguments: `(args, kwargs)` of the call, with a `Key` for each tensor.
    """

    layer: keras.Layer
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arguments: tuple


@dataclass(frozen=True)
class Trace:
    """A model as the list of its calls. `rebuild` makes them in this order too."""

    inputs: tuple[int, ...]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]

    def uses(self):
        """How often each tensor is used, by calls or as an output of the model."""
        return Counter([*(key for call in self.calls for key in call.inputs), *self.outputs])

    def run(self, arrays, compute):
        """The outputs for arrays in the order of the inputs. What nothing reads any more is freed.

        Args:
            compute: (call, args, kwargs) -> outputs. `at_inference` does what the model does.
        """
        left, values = self.uses(), dict(zip(self.inputs, arrays, strict=True))
        for call in self.calls:
            args, kwargs = keras.tree.map_structure(
                lambda each: values[each.number] if isinstance(each, Key) else each, call.arguments
            )
            made = keras.tree.flatten(compute(call, args, kwargs))
            values.update(zip(call.outputs, made, strict=True))
            left.subtract(call.inputs)
            for key in (*call.inputs, *call.outputs):
                if not left[key]:
                    values.pop(key, None)
        return [values[key] for key in self.outputs]


def at_inference(layer, args, kwargs):
    """What a layer makes of tensors at inference, unless its call says something else."""
    if isinstance(layer, keras.Layer) and "training" in inspect.signature(layer.call).parameters:
        kwargs = {**kwargs, "training": kwargs.get("training") or False}
    return layer(*args, **kwargs)


class _Alike(keras.layers.Layer):
    """Stands for a layer where only the graph is wanted: has outputs of the same shapes, and no weights."""

    def __init__(self, of):
        super().__init__(name=of.name, dtype=of.dtype_policy, autocast=False)
        self.of = lambda: of  # not an attribute, which would be a layer inside this one
        self.built = True

    def call(self, *args, **kwargs):
        return self.of()(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        return self.of().compute_output_spec(*args, **kwargs)


def trace(model):
    """The calls of a functional or Sequential model."""
    numbers, alive, calls = {}, [], []

    def number(tensor):
        alive.append(tensor)  # ids are only unique among living tensors
        return numbers.setdefault(id(tensor), len(numbers))

    def take(argument):
        return Key(number(argument)) if isinstance(argument, keras.KerasTensor) else argument

    def make(layer):
        opaque = isinstance(layer, keras.layers.InputLayer | keras.layers.Lambda) or is_subclassed(layer)
        return _Alike(layer) if isinstance(layer, keras.Layer) and not opaque else None

    def call(old, new, args, kwargs):
        arguments = keras.tree.map_structure(take, (args, kwargs))
        inputs = tuple(each.number for each in keras.tree.flatten(arguments) if isinstance(each, Key))
        outputs = new(*args, **kwargs)
        calls.append(Call(old, inputs, tuple(number(tensor) for tensor in tensors(outputs)), arguments))
        return outputs

    again = rebuild(model, call, make, keep=is_subclassed)
    inputs = tuple(number(tensor) for tensor in again.inputs)
    return Trace(inputs, tuple(calls), tuple(number(tensor) for tensor in again.outputs))
