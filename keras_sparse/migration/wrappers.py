"""TFMOT's wrappers around Keras 2 layers, read: the layer inside, its weights under their masks, what was learned."""

from dataclasses import dataclass

import numpy as np

INNER = {"PruneLowMagnitude", "QuantizeWrapper"}
"""Wrappers that are taken off."""

PRE, POST = ("softmax", "sigmoid", "tanh", "gelu"), ("linear", "relu", "swish", "gelu")
"""Activations that TFMOT quantizes before, and after, it applies them."""

BITS = 8


@dataclass(frozen=True)
class Learned:
    """The range of a tensor as TFMOT learned it."""

    low: float
    high: float


def is_a(layer, name):
    """Whether TFMOT's class `name` is among the classes of `layer`; asked by name, TFMOT need not be there."""
    return any(cls.__name__ == name for cls in type(layer).__mro__)


def inner(layer):
    """The Keras 2 layer inside TFMOT's wrappers; `layer` itself where there are none."""
    if is_a(layer, "QuantizeAnnotate"):
        raise ValueError(
            f"Layer {layer.layer.name!r} is annotated, but not quantized yet. Call "
            "tfmot.quantization.keras.quantize_apply(model), or give the model from before the annotation."
        )
    if is_a(layer, "ClusterWeights"):
        raise ValueError(
            f"Layer {layer.layer.name!r} is being clustered. Call tfmot.clustering.keras.strip_clustering(model) first."
        )
    return inner(layer.layer) if any(is_a(layer, name) for name in INNER) else layer


def passes(layer):
    """Whether a layer only quantizes what passes it."""
    return is_a(layer, "QuantizeLayer")


def is_quantizing(layer):
    """Whether a layer is one that TFMOT's quantization made."""
    return passes(layer) or is_a(layer, "QuantizeWrapper")


def kernel_quantizers(layer):
    """TFMOT's quantizers of the weights of a wrapped layer."""
    return [quantizer for _, quantizer in layer.quantize_config.get_weights_and_quantizers(layer.layer)]


def quantizes(layer):
    """Whether TFMOT quantizes the weights of the layer, or may leave them to the converter (`NoOpQuantizeConfig`)."""
    if not is_a(layer, "QuantizeWrapper"):
        return False
    return bool(kernel_quantizers(layer)) or type(layer.quantize_config).__name__ == "NoOpQuantizeConfig"


def weights(layer):
    """[(name, array)] of the layer inside, in its order; weights that a mask of TFMOT holds at zero are zero."""
    core = inner(layer)
    if core is layer:
        return [(_name(variable), variable.numpy()) for variable in layer.weights]
    masks = _masks(layer)
    state = ("optimizer_step", "pruning_step", "mask", "threshold")
    found = []
    for variable in layer.weights:
        name, values = _name(variable), variable.numpy()
        if name in state or (name.endswith(("_min", "_max")) and not _owned(core, variable)):
            continue
        mask = masks.get(variable.name)
        found.append((name, values if mask is None else np.where(mask != 0, values, np.zeros_like(values))))
    return found


def _owned(core, variable):
    return any(each is variable for each in core.weights)


def _name(variable):
    return variable.name.split(":")[0].split("/")[-1]


def _masks(layer):
    """{variable name: mask} of a layer that is being pruned, or quantized with its zeros kept (PQAT)."""
    found = {}
    if is_a(layer, "PruneLowMagnitude"):
        found = {weight.name: mask.numpy() for weight, mask, _ in layer.pruning_vars}
    for weight, _, variables in getattr(layer, "_weight_vars", ()):  # the mask of PQAT is in no public attribute
        if "sparsity_mask" in variables:
            found[weight.name] = np.asarray(variables["sparsity_mask"])
    return found


def learned(layer):
    """{"output" or "raw": `Learned`}: what leaves the layer, and what its activation takes.

    Raises:
        ValueError: a quantizer of other than 8 bits, or of another kind than TFMOT's own; the layer is named.
    """
    if passes(layer):
        values = {_name(variable): variable.numpy() for variable in layer.weights}
        found = _range(layer, layer.quantizer, layer.name, values) if layer.quantizer else None
        return {"output": found} if found else {}
    if not is_a(layer, "QuantizeWrapper"):
        return {}
    values = {_name(variable): variable.numpy() for variable in layer.weights}
    config, found = layer.quantize_config, {}
    for quantizer in kernel_quantizers(layer):
        _check_bits(layer, quantizer)
    for activation, quantizer in config.get_activations_and_quantizers(layer.layer):
        name = _activation(activation)
        if name in PRE:
            found["raw"] = _range(layer, quantizer, "pre_activation", values)
        if name in POST:
            found["output"] = _range(layer, quantizer, "post_activation", values)
    for quantizer in config.get_output_quantizers(layer.layer)[:1]:
        found["output"] = _range(layer, quantizer, "output", values)
    return {site: each for site, each in found.items() if each is not None}


def _activation(activation):
    activation = getattr(activation, "activation", activation)  # inside QuantizeAwareActivation
    return getattr(activation, "__name__", type(activation).__name__)


def _range(layer, quantizer, name, values):
    if type(quantizer).__name__ == "NoQuantizer":
        return None
    _check_bits(layer, quantizer)
    if hasattr(quantizer, "init_min"):
        low, high = quantizer.init_min, quantizer.init_max
    else:
        low, high = values.get(f"{name}_min"), values.get(f"{name}_max")
        if low is not None and not np.any(low) and not np.any(high):
            return None  # as TFMOT starts the range of an input: no batch has passed
    if low is None or np.size(low) != 1 or not low <= 0 <= high or not low < high:
        raise ValueError(
            f"Layer {inner(layer).name!r}: one minimum and one maximum with 0 between them were required of its "
            f"{type(quantizer).__name__}. Received: {low} and {high}"
        )
    low, high = float(low), float(high)
    if getattr(quantizer, "narrow_range", False):
        low -= (high - low) / (2**BITS - 2)  # one level more, of the same width
    return Learned(low, high)


def _check_bits(layer, quantizer):
    bits = getattr(quantizer, "num_bits", BITS)
    if bits != BITS:
        raise ValueError(
            f"Layer {inner(layer).name!r} is quantized to {bits} bits, and files are made with {BITS}. Received: "
            f"{type(quantizer).__name__}(num_bits={bits})"
        )
