"""Opens models inside models, and subclassed ones: a graph of plain layers, which can be rebuilt for int8."""

import inspect

import keras
import numpy as np

from keras_sparse.train import graph


def wrapped(model, samples=None):
    """`model` as a functional one: its own graph, or that of a call of a subclassed model, with copies of its weights.

    The graph holds the layers of a subclassed model where its `call` is made of layers and `keras.ops`, else the model.

    Args:
        samples: inputs as `model.predict` takes them; the inputs of a subclassed model have their shapes and types.
            Without them, a subclassed model must have been called, and its inputs are float32.
    """
    if isinstance(model, keras.Sequential) or graph.has_graph(model):
        return graph.functional(model)
    if samples is not None:
        inputs = _named(samples, lambda array, name: keras.Input(array.shape[1:], dtype=_type(array), name=name))
    else:
        inputs = _named(_shapes(model), lambda shape, name: keras.Input(shape.sizes[1:], name=name))
    inference = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
    try:
        called = expanded(_plain(keras.Model(inputs, model.call(inputs, **inference), name=model.name)))
    except SYMBOLIC:
        return _closed(model, inputs, inference)
    _hold_against(called, model, inference)
    return called


def _closed(model, inputs, inference):
    try:
        return keras.Model(inputs, model(inputs, **inference), name=model.name)
    except TypeError as error:
        raise ValueError(
            f"The `call` of {model.name!r}, a {type(model).__name__}, was given its inputs as one argument, an array, "
            f"a list or a dictionary of them, and does not take them so: {error}"
        ) from error


def _hold_against(called, model, inference):
    """Raises ValueError if the graph of a call computes something else than the model: its code asked for values."""
    generator = np.random.default_rng(0)

    def drawn(tensor):
        shape = [size or 2 for size in tensor.shape]
        floating = tensor.dtype.startswith("float")
        values = generator.normal(size=shape) if floating else generator.integers(0, 2, shape)
        return values.astype(tensor.dtype)

    given = keras.tree.map_structure(drawn, called.input)
    for ours, theirs in zip(
        keras.tree.flatten(called(given, training=False)), keras.tree.flatten(model(given, **inference)), strict=True
    ):
        ours, theirs = (keras.ops.convert_to_numpy(each) for each in (ours, theirs))
        if not np.allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max(initial=0.0)):
            raise ValueError(
                f"The `call` of {model.name!r}, a {type(model).__name__}, decides by values what it computes, which a "
                "file cannot. Make it of layers and keras.ops alone."
            )


def expanded(model, subclassed=True):
    """A functional model in which the layers of every inner model stand in its place, with copies of all weights.

    A layer of an inner model is called `outer_inner`, since names in a graph are unique. Inner models are functional or
    Sequential ones; with `subclassed`, also those whose `call` is made of layers and `keras.ops`: it is run once, as at
    inference. Others stay as they are. A model with nothing inside is returned as it is.
    """
    opened = _Opened(subclassed)
    if not any(opened.opens(layer) for layer in model.layers):
        return model
    return _plain(graph.rebuild(model, opened.call, keep=_is_model))


def _plain(model):
    """The model of new layers, each called only here, without what Keras does to the inputs of an inner model."""

    def call(old, new, args, kwargs):
        # A layer that was called before says of its first call what its output is; an operation has no public class.
        if type(old).__name__ == "ConvertToTensor" and args[0].dtype == old.output.dtype:
            return args[0]
        return new(*args, **kwargs)

    return graph.rebuild(model, call, keep=_is_model)


class _Opened:
    """Inner models as functional models of copies of their layers; one that is called twice keeps its layers."""

    def __init__(self, subclassed):
        self.subclassed = subclassed
        self.graphs, self.alive = {}, []

    def opens(self, layer):
        return _is_model(layer) and (self.subclassed or graph.has_graph(layer))

    def call(self, old, new, args, kwargs):
        if not self.opens(old):
            return new(*args, **kwargs)
        if id(old) not in self.graphs:
            self.alive.append(old)  # ids are only unique among living models
            self.graphs[id(old)] = self.open(old, args, kwargs)
        inner = self.graphs[id(old)]
        if inner is None:
            return old(*args, **kwargs)
        training = {} if kwargs.get("training") is None else {"training": kwargs["training"]}
        return inner.call(_one_or_all(graph.tensors((args, kwargs))), **training)

    def open(self, model, args, kwargs):
        """The model's layers as a functional one of copies, or `None` where its call needs more than symbols."""
        fresh = {}

        def take(argument):
            if not isinstance(argument, keras.KerasTensor):
                return argument
            new = keras.Input(batch_shape=argument.shape, dtype=argument.dtype)
            return fresh.setdefault(id(argument), new)

        args, kwargs = keras.tree.map_structure(take, (args, kwargs))
        if graph.has_graph(model):
            kwargs = {name: value for name, value in kwargs.items() if name != "training"}  # given with each call
        try:
            outputs = model.call(*args, **kwargs)
            inner = keras.Model(_one_or_all(list(fresh.values())), outputs, name=model.name)
            return _renamed(expanded(inner, self.subclassed), model.name)
        except SYMBOLIC:
            if graph.has_graph(model):
                raise
            return None


SYMBOLIC = (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError)
"""What is raised where a call needs real tensors: for operations of TensorFlow, or where values decide what is done."""


def _renamed(model, prefix):
    """`model` of new layers, whose names begin with `prefix`."""
    copies = []

    def make(layer):
        config = layer.get_config()
        copies.append((layer, type(layer).from_config({**config, "name": f"{prefix}_{layer.name}"})))
        return copies[-1][1]

    new = graph.rebuild(model, lambda old, new, args, kwargs: new(*args, **kwargs), make, keep=_is_model)
    for old, copy in copies:
        copy.set_weights(old.get_weights())
    return new


def _is_model(layer):
    return isinstance(layer, keras.Model)


def _one_or_all(tensors):
    return tensors[0] if len(tensors) == 1 else tensors


def _shapes(model):
    """The structure of the model's inputs, with the shapes that it was called with."""
    config = model.get_build_config() if model.built else None
    if not config or "input_shape" not in config:
        raise ValueError(
            f"The shapes of the inputs of {model.name!r}, a {type(model).__name__}, are not known. Call it once, with "
            "one argument (an array, a list or a dictionary of them), or give samples."
        )
    return keras.tree.map_shape_structure(_Sizes, config["input_shape"])


class _Sizes:
    """A shape as one leaf of a structure."""

    def __init__(self, sizes):
        self.sizes = sizes


def _named(structure, make):
    """`make(leaf, name)` for every leaf: named by its key, "input" where it is alone, else by its place."""
    leaves = keras.tree.flatten_with_path(structure)
    names = [
        "_".join(["input", *map(str, path)]) if not isinstance(structure, dict) else str(path[-1]) for path, _ in leaves
    ]
    return keras.tree.pack_sequence_as(
        structure, [make(leaf, name) for (_, leaf), name in zip(leaves, names, strict=True)]
    )


def _type(array):
    kind = keras.backend.standardize_dtype(array.dtype)
    return keras.config.floatx() if kind.startswith("float") else kind
