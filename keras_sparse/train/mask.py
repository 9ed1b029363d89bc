"""A mask is a constraint on the variable: the optimizer applies it inside the compiled step, after every update."""

import keras
from keras import ops


class MaskConstraint(keras.constraints.Constraint):
    """Holds the masked weights at zero, around the constraint that the user had (which sees the masked weights)."""

    def __init__(self, variable):
        self.variable, self.user = variable, users(variable)
        self.mask = keras.Variable(
            lambda shape, dtype: ops.ones(shape, dtype), shape=variable.shape, dtype="bool", trainable=False
        )

    def __call__(self, weights):
        # `where` and not a product: NaN * 0 is NaN, and -1 * 0 is a negative zero.
        masked = ops.where(self.mask, weights, ops.zeros_like(weights))
        if self.user is None:
            return masked
        return ops.where(self.mask, self.user(masked), ops.zeros_like(weights))

    def put_on(self):
        self.user, self.variable.constraint = users(self.variable), self

    def take_off(self):
        if self.variable.constraint is self:
            self.variable.constraint = self.user

    def apply(self):
        """Zeros what the mask says, on top of what the optimizer does at every step."""
        self.variable.assign(self(ops.convert_to_tensor(self.variable)))


def users(variable):
    """The constraint that the user gave a variable."""
    # Under a mask that is still on: Ctrl-C came while masks were taken off.
    constraint = variable.constraint
    return constraint.user if isinstance(constraint, MaskConstraint) else constraint
