"""The graph of a functional or Sequential model, through public `clone_model`: read it, rebuild it."""

from collections import defaultdict

import keras


def functional(model):
    """`model` as a functional one; other models have no graph that can be rebuilt, and are refused."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"Model {model.name!r} is not built, so the shapes of its layers are not known. Start it with "
                "keras.Input(shape), or call it once."
            )
        return keras.Model(model.inputs, model.outputs, name=model.name)
    try:
        graph = model.inputs and model.outputs
    except AttributeError:
        graph = None
    if not graph:
        raise ValueError(
            f"A functional or Sequential model was required, whose layers can be replaced. Received: {model.name!r}, "
            f"a {type(model).__name__}. In a subclassed model, put keras_sparse.train.wrapper.QuantizedWeights "
            "around its layers in the constructor."
        )
    return model


def rebuild(model, call, make=lambda layer: None):
    """A functional model with the graph of `model`, of new layers.

    Args:
        call: (old layer, new layer, args, kwargs) -> outputs.
        make: old layer -> what to put in its place, asked once for each layer; `None` for a copy with its weights.
            Operations that are no layers have no state and stay.
    """
    made, origin, copies = {}, {}, []

    def clone(layer):
        if id(layer) not in made:
            new = make(layer) if isinstance(layer, keras.Layer) else layer
            if new is None:
                new = type(layer).from_config(layer.get_config())
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


def as_before(old, new, args, kwargs):
    """The `call` of `rebuild` that changes nothing."""
    return new(*args, **kwargs)


def tensors(structure):
    """The Keras tensors among call arguments, in order."""
    return [each for each in keras.tree.flatten(structure) if isinstance(each, keras.KerasTensor)]


def consumers(model):
    """The layers that use each layer's outputs, one entry for each use: {id(layer): [layers]}.

    `None` as a key stands for the model's inputs, and as a consumer for its outputs.
    """
    uses, producer = defaultdict(list), {}
    kept = []  # ids are only unique among living tensors

    def call(old, new, args, kwargs):
        for tensor in tensors((args, kwargs)):
            uses[producer.get(id(tensor))].append(old)
        outputs = new(*args, **kwargs)
        producer.update({id(tensor): id(old) for tensor in tensors(outputs)})
        kept.append(outputs)
        return outputs

    for tensor in rebuild(model, call).outputs:
        uses[producer.get(id(tensor))].append(None)
    return uses
