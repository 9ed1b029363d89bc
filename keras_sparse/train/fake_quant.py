"""The int8 grid during training: what `int8.py` does in NumPy, as Keras operations with straight-through gradients."""

import keras
from keras import ops

from keras_sparse.int8 import TINY, WEIGHT_MAX


def quantize_kernel(kernel, channel_axes):
    """`kernel` on its symmetric per-channel int8 grid; the gradient passes straight through.

    Bit for bit `SparseTensor.quantized(...).dense()`: zero stays zero, and nothing else becomes zero.
    """
    reduced = tuple(axis for axis in range(len(kernel.shape)) if axis not in channel_axes)

    @ops.custom_gradient
    def straight_through(given):
        weights = ops.cast(given, "float32")
        peak = ops.max(ops.abs(weights), axis=reduced, keepdims=True)
        # Compilers turn a division by a constant into a product with its reciprocal, which is rounded: another scale.
        levels = ops.where(peak > 0, float(WEIGHT_MAX), 1.0)
        scale = ops.maximum(ops.where(peak > 0, peak, 1.0) / levels, TINY)
        scaled = weights / scale
        rounded = ops.sign(weights) * ops.maximum(ops.abs(ops.round(scaled)), 1.0)

        def gradient(*args, upstream=None):
            return upstream if upstream is not None else args[0]

        return ops.cast(ops.clip(rounded, -WEIGHT_MAX, WEIGHT_MAX) * scale, given.dtype), gradient

    # A copy: called eagerly, `convert_to_tensor` gives the variable itself, which `custom_gradient` would want named.
    return straight_through(ops.copy(kernel))


def quantize_activation(values, low, high):
    """`values` on the 256 levels of the range `[low, high]`, which holds 0; gradients pass inside it."""
    return keras.quantizers.fake_quant_with_min_max_vars(values, low, high, num_bits=8)
