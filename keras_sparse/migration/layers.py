"""One layer of Keras 2 as a layer of Keras 3: its class, its arguments, its weights."""

import inspect

import keras
import numpy as np

BASE_ARGUMENTS = {"name", "dtype", "trainable", "activity_regularizer"}
"""Arguments that every Keras 3 layer takes."""

WITHOUT_EFFECT = {"batch_input_shape", "build_config", "input_length", "implementation", "query_shape", "key_shape"}
WITHOUT_EFFECT |= {"value_shape", "build_input_shape", "rng_type", "force_generator"}
"""Arguments of Keras 2 that say how a layer is built or run, not what it computes; Keras 3 has none of them."""

RENAMED = {("LeakyReLU", "alpha"): "negative_slope", ("DepthwiseConv2D", "depthwise_kernel"): "kernel"}
RENAMED |= {("DepthwiseConv1D", "depthwise_kernel"): "kernel"}
"""(class, argument or weight of Keras 2) -> its name in Keras 3."""


def make(layer, name):
    """A Keras 3 layer, not built, that computes what the Keras 2 `layer` does.

    Raises:
        ValueError: Keras 3 has no such layer, or not with these arguments; the layer is named.
    """
    kind = type(layer).__name__
    refused = f"Layer {layer.name!r} ({kind}) has no Keras 3 layer that computes the same"
    if kind in ("TFOpLambda", "SlicingOpLambda", "Lambda"):
        raise ValueError(
            f"{refused}: it holds Python code or a TensorFlow operation. Put a layer of tf_keras in its place, such as "
            "Add, Rescaling or ReLU."
        )
    cls, config = _class(kind), layer.get_config()
    if kind == "Normalization" and layer.weights:  # what it has adapted to is an argument, not a weight, in Keras 3
        config.update(mean=layer.adapt_mean.numpy().tolist(), variance=layer.adapt_variance.numpy().tolist())
    if cls is None:
        raise ValueError(
            f"{refused}. A class of your own is found by its name where it is registered with Keras 3: "
            f"keras.saving.custom_object_scope({{{kind!r}: YourKeras3Class}})."
        )
    try:
        return cls.from_config({**arguments(cls, type(layer), config), "name": name})
    except (TypeError, ValueError, NotImplementedError) as error:  # what Keras raises; a class's own are its own
        raise ValueError(f"{refused}: {error}") from error


def _class(kind):
    """The Keras 3 layer of that name, one of Keras's own or one that is registered; else `None`."""
    if kind == "SyncBatchNormalization":
        return keras.layers.BatchNormalization
    cls = getattr(keras.layers, kind, None) or keras.saving.get_registered_object(kind)
    return cls if inspect.isclass(cls) and issubclass(cls, keras.Layer) else None


def arguments(cls, old, config):
    """The configuration of a Keras 2 layer of class `old`, as `cls` takes it.

    An argument that Keras 3 does not have is left out where it has the value that Keras 2 gives it by itself, such as
    `groups=1` of a DepthwiseConv2D; with another value it changes what the layer computes, and is refused.
    """
    known = _parameters(cls) | BASE_ARGUMENTS
    made = {}
    for key, value in config.items():
        key = RENAMED.get((old.__name__, key), key)
        if key in known:
            made[key] = _value(key, value)
        elif key not in WITHOUT_EFFECT and not key.endswith("_initializer") and not _by_itself(old, key, value):
            raise ValueError(f"Keras 3 has no argument {key!r} of it. Received: {key}={value!r}")
    if old.__name__ == "SyncBatchNormalization":
        made["synchronized"] = True
    return made


def _parameters(cls):
    return {name for base in cls.__mro__ for name in inspect.signature(base.__init__).parameters if base is not object}


def _by_itself(old, key, value):
    for base in old.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get(key) if base is not object else None
        if parameter is not None and parameter.default is not parameter.empty:
            return value == parameter.default or (value in (None, [], ()) and not parameter.default)
    return False


def _value(key, value):
    """One value of a configuration: what TFMOT put around an activation is taken off, inner layers are made ready."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        # The axis of a BatchNormalization is a list of one.
        return _value(key, value[0]) if key == "axis" and len(value) == 1 else [_value(None, each) for each in value]
    if not isinstance(value, dict):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "QuantizeAwareActivation":
        return _value(key, config["activation"])
    if kind == "NoOpActivation":
        return "linear"
    if key == "dtype" and kind == "Policy":
        return config["name"]
    if kind and isinstance(config, dict) and hasattr(keras.layers, kind):
        import tf_keras

        old = getattr(tf_keras.layers, kind)
        return {"module": "keras.layers", "class_name": kind, "registered_name": None,
                "config": arguments(getattr(keras.layers, kind), old, config)}  # fmt: skip
    return {name: _value(name, each) for name, each in value.items()}


def copy_weights(named, old, new):
    """Sets the weights of the built Keras 3 layer `new`.

    Args:
        named: list of (name, array): the weights of `old` in its order.

    Raises:
        ValueError: they are not those that `new` has; the layer is named.
    """
    kind = type(old).__name__
    if kind == "Normalization":
        return
    given = {RENAMED.get((kind, name), name): values for name, values in named}
    wanted = [variable.name for variable in new.weights]
    if len(given) == len(named) and len(set(wanted)) == len(wanted) and set(wanted) == set(given):
        values = [given[name] for name in wanted]
    else:
        values = [array for _, array in named]  # layers inside the layer, whose names repeat: both in their order
    shapes = [tuple(each.shape) for each in values], [tuple(each.shape) for each in new.weights]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Layer {old.name!r} ({kind}): its Keras 3 layer has weights of the shapes {shapes[1]}. "
            f"Received: {shapes[0]}"
        )
    new.set_weights(values)
