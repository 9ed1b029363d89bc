"""What a configuration of Keras 2 may name: classes and functions of tf_keras and TFMOT, and what is registered."""

import functools
import inspect
import re

PACKAGES = {"keras", "tf_keras", "tensorflow_model_optimization", "builtins"}
"""Where classes and functions come from; tf_keras imports any module that a `.keras` file names."""

PARTS = (
    *("layers", "models", "initializers", "regularizers", "constraints"),
    *("activations", "losses", "metrics", "optimizers", "mixed_precision"),
)
"""Public modules of tf_keras."""

UNEXPORTED = {"Functional", "ConstantSparsity", "PolynomialDecay"}
"""The class of functional models, and TFMOT's schedules, which it finds itself."""

MAKERS = {"get", "serialize", "deserialize"}
"""Functions of those modules that make objects of their arguments."""


def is_known(described):
    """Whether the class or function of a description may be made; asked while TFMOT's classes are registered."""
    import tf_keras

    kind, module, name = described["class_name"], described.get("module"), described.get("registered_name")
    registered = tf_keras.saving.get_registered_object
    if isinstance(name, str) and registered(name) is not None:
        return True
    if not (module is None or (isinstance(module, str) and module.split(".")[0] in PACKAGES)):
        return False
    if kind == "function":
        name = described.get("config")
        return isinstance(name, str) and (registered(name) is not None or name in _public(inspect.isfunction))
    if name not in (None, kind):
        return False
    kind = re.sub(r"V[12]$", "", kind)  # as TensorFlow called some classes inside
    return registered(kind) is not None or kind in _public(inspect.isclass) or kind in UNEXPORTED


@functools.cache
def _public(which):
    import tf_keras

    modules = (getattr(tf_keras, part) for part in PARTS)
    return {name for module in modules for name, value in vars(module).items() if which(value)} - MAKERS
