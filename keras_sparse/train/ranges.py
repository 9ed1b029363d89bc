"""Activation ranges: learned during training, fixed in a stripped model."""

import keras
from keras import ops, tree

from keras_sparse.train.fake_quant import quantize_activation

NARROWEST = 1e-6
"""A narrower range (a layer that is always zero) has no scale that a runtime accepts."""


@keras.saving.register_keras_serializable(package="keras_sparse")
class ActivationRange(keras.layers.Layer):
    """Fake-quantizes its input to int8 over a range that it learns; several inputs share one range.

    Off (an identity) until `active` is 1. While `learning` is 1, training batches move the range: the first one sets
    it, later ones by an exponential moving average of each batch's minimum and maximum (Jacob et al. 2018, 3.1).
    The range always holds 0, so zero is exact.

    Args:
        momentum: weight of the old range in the average.
    """

    def __init__(self, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum

    def build(self, input_shape):
        for name in ("low", "high", "batches", "active", "learning"):
            weight = self.add_weight(name=name, shape=(), dtype="float32", initializer="zeros", trainable=False)
            setattr(self, name, weight)

    @property
    def started(self):
        """Whether any batch has set the range."""
        return self.batches > 0

    def call(self, inputs, observe=True, training=None):
        tensors = tree.flatten(inputs)
        if training and observe:
            self._learn(tensors)
        quantizing = ops.logical_and(self.active > 0, self.started)
        low, high = self.limits()
        outputs = [ops.where(quantizing, quantize_activation(each, low, high), each) for each in tensors]
        return tree.pack_sequence_as(inputs, outputs)

    def limits(self):
        """`(low, high)`, held apart."""
        return ops.convert_to_tensor(self.low), ops.maximum(self.high, self.low + NARROWEST)

    def _learn(self, tensors):
        lowest = [ops.cast(ops.min(ops.stop_gradient(each)), "float32") for each in tensors]
        highest = [ops.cast(ops.max(ops.stop_gradient(each)), "float32") for each in tensors]
        learning, started = self.learning > 0, self.started
        for variable, seen in (
            (self.low, ops.minimum(ops.min(ops.stack(lowest)), 0.0)),
            (self.high, ops.maximum(ops.max(ops.stack(highest)), 0.0)),
        ):
            moved = ops.where(started, self.momentum * variable + (1.0 - self.momentum) * seen, seen)
            variable.assign(ops.where(learning, moved, variable))
        self.batches.assign_add(ops.cast(learning, "float32"))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}
