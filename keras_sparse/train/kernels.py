"""The kernels of a model: every weight matrix that can be pruned, in any Keras model."""

from dataclasses import dataclass

import keras

from keras_sparse import layout


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel variable with the layer that owns it and its axis orders."""

    variable: keras.Variable
    layer: keras.Layer
    layout: layout.Layout

    @property
    def path(self) -> str:
        return self.variable.path

    @property
    def trainable(self):
        return self.layer.trainable and self.variable.trainable

    def matrices(self):
        """Its value as `(positions, rows, cols)`."""
        return self.layout.to_matrices(keras.ops.convert_to_numpy(self.variable))


def sublayers(layer):
    """The layers that `layer` holds as attributes, or in lists and dictionaries, each once."""
    found = list(layer.layers) if isinstance(layer, keras.Model) else []
    pending = list(vars(layer).values())
    while pending:
        value = pending.pop(0)
        if isinstance(value, keras.Layer):
            found.append(value)
        elif isinstance(value, list | tuple):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
    return list({id(each): each for each in found if each is not layer}.values())


def walk(model):
    """All layers under `model`, itself first, each once, outer ones before inner ones."""
    seen, pending = {}, [model]
    while pending:
        layer = pending.pop(0)
        if id(layer) not in seen:
            seen[id(layer)] = layer
            pending[:0] = sublayers(layer)
    return list(seen.values())


def find(model):
    """The kernels of a built model, in the order of its layers."""
    kernels, seen = [], set()
    for layer in walk(model):
        inner = {id(variable) for sub in sublayers(layer) for variable in sub.variables}
        classes = tuple(cls.__name__ for cls in type(layer).__mro__)
        for variable in layer.weights:
            if id(variable) in seen or id(variable) in inner:
                continue
            axes = layout.find(classes, variable.name, len(variable.shape), getattr(layer, "equation", None))
            if axes is not None:
                seen.add(id(variable))
                kernels.append(Kernel(variable, layer, axes))
    return kernels
