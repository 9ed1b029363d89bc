"""The graph of a Keras 2 model, read from its public configuration: the calls of its layers, in order."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph: output number `output` of call number `call` of the layer `layer`."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True, eq=False)
class Call:
    """One call: `arguments` is its first argument, `kwargs` the others; both with `Tensor`s where tensors go."""

    layer: Any
    arguments: Any
    kwargs: dict
    number: int

    @property
    def tensors(self):
        """The tensors that it takes, in order."""
        return tensors((self.arguments, self.kwargs))


@dataclass(frozen=True)
class Source:
    """A Keras 2 model: `inputs` and `outputs` are structures of `Tensor`s, `shapes` {tensor: (name, shape, dtype)}."""

    inputs: Any
    calls: tuple[Call, ...]
    outputs: Any
    shapes: dict


def is_keras2(model):
    """Whether `model` is a model of tf_keras, by where its class comes from."""
    return any(cls.__module__.split(".")[0] == "tf_keras" and cls.__name__ == "Model" for cls in type(model).__mro__)


def is_sequential(model):
    """Whether a Keras 2 model is a Sequential one."""
    return any(cls.__name__ == "Sequential" for cls in type(model).__mro__)


def read(model):
    """The `Source` of a built Sequential or functional Keras 2 model.

    Raises:
        ValueError: the model is not built, or has no graph (a subclassed model).
    """
    if not model.built or not model.inputs:
        raise ValueError(
            f"A built Sequential or functional Keras 2 model was required. Received: {model.name!r}, a "
            f"{type(model).__name__} " + ("without known inputs." if model.built else "that is not built.")
        )
    return _sequential(model) if is_sequential(model) else _functional(model)


def _sequential(model):
    (given,) = model.inputs
    name = given.name.split(":")[0]
    at, calls = Tensor(name, 0, 0), []
    shapes = {at: (name, tuple(given.shape), given.dtype.name)}
    for layer in model.layers:
        calls.append(Call(layer, at, {}, 0))
        at = Tensor(layer.name, 0, 0)
    return Source(Tensor(name, 0, 0), tuple(calls), at, shapes)


def _functional(model):
    config = model.get_config()
    shapes, waiting = {}, []
    for entry in config["layers"]:
        name, settings = entry["name"], entry["config"]
        if entry["class_name"] == "InputLayer":
            if settings.get("sparse") or settings.get("ragged"):
                raise ValueError(f"Input {name!r} takes sparse or ragged tensors, which a Keras 3 model does not.")
            shapes[Tensor(name, 0, 0)] = (name, tuple(settings["batch_input_shape"]), settings["dtype"])
        layer = model.get_layer(name)
        for number, node in enumerate(entry["inbound_nodes"]):
            waiting.append(Call(layer, *_arguments(node), number))
    inputs, outputs = (_single(_references(config[key])) for key in ("input_layers", "output_layers"))
    first = _first_numbers(config, [*(t for call in waiting for t in call.tensors), *tensors(outputs)])
    waiting = [Call(call.layer, call.arguments, call.kwargs, first[call.layer.name] + call.number) for call in waiting]
    made, calls = {(tensor.layer, tensor.call) for tensor in shapes}, []
    while waiting:
        ready = [call for call in waiting if all((t.layer, t.call) in made for t in call.tensors)]
        if not ready:
            raise ValueError(f"The inputs of {waiting[0].layer.name!r} come from outside the model {model.name!r}.")
        waiting = [call for call in waiting if call not in ready]
        made.update((call.layer.name, call.number) for call in ready)
        calls.extend(ready)
    return Source(inputs, tuple(calls), outputs, shapes)


def _first_numbers(config, used):
    """{layer: number of its first call}: 0, but for models in the model, whose own graph may count as a call.

    Every call of a configuration is used, so its last number is the greatest that is used.
    """
    last = {}
    for tensor in used:
        last[tensor.layer] = max(last.get(tensor.layer, 0), tensor.call)
    counts = {entry["name"]: len(entry["inbound_nodes"]) for entry in config["layers"]}
    return {name: last[name] + 1 - count for name, count in counts.items() if count}


def tensors(structure):
    """The `Tensor`s in a structure of lists, tuples and dictionaries, in order."""
    if isinstance(structure, Tensor):
        return [structure]
    inner = structure.values() if isinstance(structure, dict) else structure
    return [t for each in inner for t in tensors(each)] if isinstance(structure, list | tuple | dict) else []


def replace(structure, found):
    """`structure` with `found(tensor)` in the place of each `Tensor`."""
    if isinstance(structure, Tensor):
        return found(structure)
    if isinstance(structure, dict):
        return {key: replace(each, found) for key, each in structure.items()}
    if isinstance(structure, list | tuple):
        return [replace(each, found) for each in structure]
    return structure


def _arguments(node):
    """First argument and keyword arguments of a call, from [layer, call, output, kwargs] or a nest of such lists."""
    kwargs = {}

    def visit(value):
        if _is_reference(value):
            if len(value) > 3:
                kwargs.update(value[3])
            return Tensor(*value[:3])
        if isinstance(value, dict):
            return {key: visit(each) for key, each in value.items()}
        return [visit(each) for each in value] if isinstance(value, list | tuple) else value

    first = _single(visit(node))
    return first, {key: _references(value) for key, value in kwargs.items() if value is not None}


def _is_reference(value):
    if not isinstance(value, list | tuple) or len(value) not in (3, 4) or not isinstance(value[0], str):
        return False
    return all(isinstance(each, int) for each in value[1:3])


def _references(value):
    if _is_reference(value):
        return Tensor(*value[:3])
    if isinstance(value, dict):
        return {key: _references(each) for key, each in value.items()}
    return [_references(each) for each in value] if isinstance(value, list | tuple) else value


def _single(structure):
    return structure[0] if isinstance(structure, list) and len(structure) == 1 else structure
