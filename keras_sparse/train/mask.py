"""A mask is a constraint on the variable: the optimizer applies it inside the compiled step, after every update."""

import keras
from keras import ops


class MaskConstraint(keras.constraints.Constraint):
    """Holds the masked weights at zero, around the constraint that the user had (which sees the masked weights)."""

    def __init__(self, variable):
        previous = variable.constraint
        # A fit that was interrupted leaves its mask behind.
        self.user = previous.user if isinstance(previous, MaskConstraint) else previous
        self.mask = keras.Variable(
            lambda shape, dtype: ops.ones(shape, dtype), shape=variable.shape, dtype="bool", trainable=False
        )

    def __call__(self, weights):
        # `where` and not a product: NaN * 0 is NaN, and -1 * 0 is a negative zero.
        masked = ops.where(self.mask, weights, ops.zeros_like(weights))
        if self.user is None:
            return masked
        return ops.where(self.mask, self.user(masked), ops.zeros_like(weights))
