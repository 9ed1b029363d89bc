"""What passes from training to files: one frozen value per kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_sparse import int8
from keras_sparse.layout import Layout


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """A kernel as it will be stored, in Keras's axis order.

    Attributes:
        name: path of the variable, such as "conv/kernel".
        values: int8 where the layer is quantized, else float32.
        scale: float32, one per output channel, shaped to broadcast against `values`; `None` for float.
        layout: its axis orders.

    >>> from keras_sparse import layout
    >>> tensor = SparseTensor.quantized("d/kernel", np.float32([[0.0, 2.0], [0.5, 0.0]]), layout.DENSE)
    >>> tensor.values.tolist(), tensor.zeros
    ([[0, 127], [127, 0]], 2)
    """

    name: str
    values: np.ndarray
    scale: np.ndarray | None
    layout: Layout

    @classmethod
    def quantized(cls, name: str, kernel: np.ndarray, layout: Layout, largest: int = int8.WEIGHT_MAX) -> SparseTensor:
        """`kernel` on the int8 grid of [-largest, largest]: symmetric, one scale per output channel, zeros and only
        zeros to zero."""
        scale = int8.weight_scale(kernel, layout.channel_axes, largest)
        return cls(name, int8.quantize_weights(kernel, scale, largest), scale, layout)

    @property
    def zeros(self) -> int:
        return int(self.values.size - np.count_nonzero(self.values))

    @property
    def sparsity(self) -> float:
        """The fraction of zeros."""
        return self.zeros / self.values.size

    def dense(self) -> np.ndarray:
        """The float32 kernel that the stored values stand for, in Keras's order."""
        return self.values.astype(np.float32) * (1.0 if self.scale is None else self.scale)
