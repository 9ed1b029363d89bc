"""The ranges that TFMOT learned, put on the sites of a prepared model."""

import glob

import keras

from keras_sparse.migration.wrappers import Learned
from keras_sparse.recipe import Quantize, Recipe
from keras_sparse.train import graph, kernels, roles
from keras_sparse.train.calibrate import calibrate
from keras_sparse.train.prepare import prepare
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights


def prepared(plain, conversion, samples):
    """`plain` prepared for int8, quantization switched on, with the ranges of a `Conversion`.

    Raises:
        ValueError: nothing can be int8; or a range is needed that TFMOT has not learned, and there are no samples.
    """
    known = _Known(conversion)
    int8 = [name for name, own in conversion.int8.items() if own or known.before_relu(name)]
    if not int8:
        raise ValueError(
            f"TFMOT quantizes no Dense, Conv2D or DepthwiseConv2D layer of {plain.name!r}, and nothing else has "
            "weights that are int8 here. Give the model from before quantize_apply, which is float."
        )
    match = [glob.escape(kernel.path) for kernel in kernels.find(plain) if kernel.layer.name in int8]
    rule = Recipe([Quantize(match=match)])
    made = prepare(plain, rule) if samples is None else calibrate(plain, samples, match)
    ours = [layer for layer in kernels.walk(made) if isinstance(layer, ActivationRange | QuantizedWeights)]
    ranges = {layer.name: layer for layer in ours if isinstance(layer, ActivationRange)}
    for name, site, tensor, kind in _sites(made, conversion):
        learned = known.find(tensor, kind)
        if learned is None and samples is None:
            raise ValueError(
                f"TFMOT learned no range for {known.name(tensor, kind)}, which an int8 layer needs: the model was not "
                "trained, or TFMOT's own conversion leaves that layer float. Pass samples=..., and the range is "
                "measured on them."
            )
        if learned is not None:
            _assign(ranges[name], site, learned)
    for layer in ours:
        layer.active.assign(1.0)
    return made


def _assign(layer, site, learned):
    for variable, value in ((layer.low, learned.low), (layer.high, learned.high), (layer.batches, 1.0)):
        values = keras.ops.convert_to_numpy(variable).copy()
        values[site] = value
        variable.assign(values)


def _sites(made, conversion):
    """(range, site, tensor, kind) for each tensor that a range of the prepared model is learned from.

    Tensors are those of `conversion`: a call is known by its layer and its inputs. The kind is "raw" for what an
    activation takes that is a layer of its own in the prepared model, else "output".
    """
    seen = []

    def call(old, new, args, kwargs):
        outputs = new(*args, **kwargs)
        seen.append((old, graph.tensors((args, kwargs)), kwargs.get("site"), graph.tensors(outputs)))
        return outputs

    again = graph.rebuild(made, call)
    known = {(each.layer.name, each.inputs): each for each in conversion.calls}
    keys = {id(tensor): (key, "output") for tensor, key in zip(again.inputs, conversion.inputs, strict=True)}
    found = []
    for layer, inputs, site, outputs in seen:
        given = [keys[id(tensor)] for tensor in inputs]
        if isinstance(layer, ActivationRange):
            keys[id(outputs[0])] = given[0]
            if site is not None:
                found.append((layer.name, site, *given[0]))
        elif given[0][1] == "raw":  # the activation of the layer before it
            keys[id(outputs[0])] = given[0][0], "output"
        else:
            call = known[layer.name, tuple(key for key, _ in given)]
            split = isinstance(layer, QuantizedWeights) and not roles.fuses(call.layer)
            for tensor, key in zip(outputs, call.outputs, strict=True):
                keys[id(tensor)] = key, "raw" if split else "output"
    return found


class _Known:
    """What is known of the range of a tensor."""

    def __init__(self, conversion):
        self.conversion = conversion
        self.maker = {key: call.layer for call in conversion.calls for key in call.outputs}
        self.readers = {}
        for call in conversion.calls:
            for key in call.inputs:
                self.readers.setdefault(key, []).append(call)

    def name(self, tensor, kind):
        """The tensor in words."""
        if tensor not in self.maker:
            return "the input"
        return f"the {'output' if kind == 'output' else 'sums, before the activation,'} of {self.maker[tensor].name!r}"

    def before_relu(self, name):
        """Whether all that reads the layer's outputs is ReLU layers with a range."""
        outputs = [key for call in self.conversion.calls if call.layer.name == name for key in call.outputs]
        after = [call for key in outputs for call in self.readers.get(key, [])]
        return bool(after) and all(
            roles.role(call.layer)[0] == roles.RELU and (call.outputs[0], "output") in self.conversion.learned
            for call in after
        )

    def find(self, tensor, kind):
        """What TFMOT learned of it; else of a tensor after it that has the same range; else what the runtime fixes."""
        if (tensor, kind) in self.conversion.learned:
            return self.conversion.learned[tensor, kind]
        if kind == "raw":
            return None
        for call in self.readers.get(tensor, []):
            if roles.role(call.layer)[0] in (roles.SAME, roles.SHARED):
                after = self.find(call.outputs[0], kind)
                if after is not None:
                    return after
        maker = self.maker.get(tensor)
        name = roles.activation_name(getattr(maker, "activation", None))
        if name == "tanh":
            return Learned(-1.0, 127 / 128)
        if name in ("sigmoid", "softmax") or isinstance(maker, keras.layers.Softmax):
            return Learned(0.0, 255 / 256)
        return None
