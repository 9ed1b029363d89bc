"""A model that computes in half precision, as one that computes in float32: what files are made from."""

import keras

from keras_sparse.train import expand, graph, kernels

HALVES = ("float16", "bfloat16")


def half_layers(model):
    """The layers that compute in float16 or bfloat16."""
    return [layer for layer in kernels.walk(model) if _is_half(layer)]


def in_float32(model):
    """A functional model with the same weights whose layers compute in float32; `model` where they do already."""
    if not half_layers(model):
        return model

    def make(layer):
        if not _is_half(layer) or isinstance(layer, keras.layers.InputLayer):
            return None
        made.append((layer, type(layer).from_config(_float32(layer.get_config()))))
        return made[-1][1]

    made = []
    rebuilt = graph.rebuild(
        expand.expanded(graph.functional(model)), lambda old, new, args, kwargs: new(*args, **kwargs), make
    )
    for old, new in made:
        new.set_weights(old.get_weights())
    return rebuilt


def _is_half(layer):
    return getattr(layer, "compute_dtype", None) in HALVES  # an operation that is no layer has none


def _float32(config):
    """A configuration in which every policy, also of layers inside the layer, is that of float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return "float32"
        return {key: _float32(value) for key, value in config.items()}
    return [_float32(each) for each in config] if isinstance(config, list) else config
