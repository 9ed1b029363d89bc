"""What changes the forward pass: one wrapper that calls a layer with its kernels on the int8 grid."""

import keras
from keras import ops

from keras_sparse import layout
from keras_sparse.train.fake_quant import quantize_kernel


@keras.saving.register_keras_serializable(package="keras_sparse")
class QuantizedWeights(keras.layers.Wrapper):
    """Calls `layer` with fake-quantized kernels, once `active`; its variables stay float and train through it.

    Serves every layer without state of its own (Dense, convolutions); a subclassed model may use it in its
    constructor. The kernels are substituted through `keras.StatelessScope`, so the layer needs no support for it.

    Args:
        layer: the layer to call.
    """

    def __init__(self, layer, **kwargs):
        # Scales and rounding are those of the kernel's own precision: only `layer` casts, by its own policy.
        super().__init__(layer, **{**kwargs, "dtype": layer.variable_dtype, "autocast": False})

    def build(self, input_shape):
        super().build(input_shape)
        self.active = self.add_weight(name="active", shape=(), initializer="zeros", trainable=False)
        classes = tuple(cls.__name__ for cls in type(self.layer).__mro__)
        found = [(v, layout.find(classes, v.name, len(v.shape))) for v in self.layer.weights]
        self._kernels = [(v, axes.channel_axes) for v, axes in found if axes is not None]
        if not self._kernels:
            raise ValueError(f"Layer {self.layer.name!r} ({type(self.layer).__name__}) has no kernel to quantize.")

    def call(self, inputs, **kwargs):
        substitutes = [(kernel, self._on_grid(kernel, axes)) for kernel, axes in self._kernels]
        with keras.StatelessScope(state_mapping=substitutes, collect_losses=True) as scope:
            outputs = self.layer(inputs, **kwargs)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs

    def _on_grid(self, kernel, channel_axes):
        """The kernel on its grid, as a tensor; as it is while this is off, which then costs nothing."""
        weights = ops.convert_to_tensor(kernel)
        return ops.cond(self.active > 0, lambda: quantize_kernel(weights, channel_axes), lambda: weights)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def compute_output_spec(self, inputs, **kwargs):
        return self.layer.compute_output_spec(inputs, **kwargs)
