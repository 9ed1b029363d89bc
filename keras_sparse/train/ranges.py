"""Activation ranges: learned during training, fixed in a stripped model."""

import keras
from keras import ops

from keras_sparse.train.fake_quant import quantize_activation

NARROWEST = 1e-6
"""A narrower range (a layer that is always zero) has no scale that a runtime accepts."""


@keras.saving.register_keras_serializable(package="keras_sparse")
class ActivationRange(keras.layers.Layer):
    """Fake-quantizes activations to int8 over a range that it learns.

    Off (an identity) until `active` is 1. While `learning` is 1, training batches move the range: the first one sets
    it, later ones by an exponential moving average of each batch's minimum and maximum (Jacob et al. 2018, 3.1).
    The range always holds 0, so zero is exact.

    Tensors that the runtime stores with one scale share a range: each is called with a `site` of its own, and the range
    is the union of what the sites have learned.

    Args:
        sites: number of tensors that the range is learned from.
        momentum: weight of the old range in the average.
    """

    def __init__(self, sites=1, momentum=0.99, **kwargs):
        # Limits and levels are float32, whatever the precision of the values; only the output is in theirs.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.sites, self.momentum = sites, momentum

    def build(self, input_shape):
        def state(name, shape):
            return self.add_weight(name=name, shape=shape, dtype="float32", initializer="zeros", trainable=False)

        self.low, self.high, self.batches = (state(name, (self.sites,)) for name in ("low", "high", "batches"))
        self.active, self.learning = state("active", ()), state("learning", ())

    @property
    def started(self):
        """Whether every site has seen a batch."""
        return ops.min(self.batches) > 0

    def call(self, inputs, site=None, training=None):
        """`inputs` on the range; learns from them where they are those of a `site`."""
        if training and site is not None:
            self._learn(inputs, site)
        low, high = self.limits()
        quantizing = ops.logical_and(self.active > 0, self.started)
        # A branch, not `where`: activations are large, and `where` reads them more often than all else here does.
        return ops.cond(quantizing, lambda: quantize_activation(inputs, low, high), lambda: inputs)

    def limits(self):
        """`(low, high)` of the union of all sites, held apart."""
        low, high = ops.min(self.low), ops.max(self.high)
        return low, ops.maximum(high, low + NARROWEST)

    def _learn(self, inputs, site):
        def reach():
            values = ops.cast(ops.stop_gradient(inputs), "float32")
            return ops.minimum(ops.min(values), 0.0), ops.maximum(ops.max(values), 0.0)

        def nothing():
            return ops.zeros((), "float32"), ops.zeros((), "float32")

        lowest, highest = ops.cond(self.learning > 0, reach, nothing)
        here = ops.one_hot(site, self.sites) * self.learning > 0
        momentum = ops.where(self.batches > 0, self.momentum, 0.0)
        for variable, seen in ((self.low, lowest), (self.high, highest)):
            variable.assign(ops.where(here, momentum * variable + (1.0 - momentum) * seen, variable))
        self.batches.assign_add(ops.cast(here, "float32"))

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, **kwargs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "sites": self.sites, "momentum": self.momentum}
