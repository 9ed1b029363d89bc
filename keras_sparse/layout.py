"""Axis orders: Keras <-> (positions, rows, cols) <-> TFLite <-> ONNX. Only this file knows them.

Axes are letters: O output channels, I input channels (further ones of the same kind P Q ... and J K ...), D H W kernel
positions, C M the channels and the multiplier of a depthwise kernel. An order is a list of axes, each of one letter, of
several merged ones ("CM"), or "1" for a new axis:

    Conv2D           Keras HWIO (3, 3, 16, 32)    matrices (9, 32, 16)    TFLite OHWI (32, 3, 3, 16)
    DepthwiseConv2D  Keras HWCM (3, 3, 16, 1)     matrices (1, 16, 9)     TFLite 1HW(CM) (1, 3, 3, 16)
    Dense            Keras IO   (64, 10)          matrices (1, 10, 64)    TFLite OI (10, 64)

Rows are output channels and cols are their inputs; each output of a depthwise convolution reads one channel, so its
inputs are the kernel positions. A new layer type is one row in `ROWS`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Order = tuple[str, ...]
POSITIONS, INPUTS, OUTPUTS = "DHW", "IJKLN", "OPQRS"


@dataclass(frozen=True)
class Layout:
    """The axes of one kind of kernel: `keras` as the layer stores it, `tflite` and `onnx` as the runtimes do."""

    keras: str
    tflite: Order | None = None
    onnx: Order | None = None

    @property
    def outputs(self) -> str:
        """The letters of the output channels."""
        return "CM" if "M" in self.keras else self._letters(OUTPUTS)

    @property
    def matrices(self) -> Order:
        """`(positions, rows, cols)`."""
        if "M" in self.keras:
            return ("1", "CM", self._letters(POSITIONS))
        return (self._letters(POSITIONS) or "1", self.outputs, self._letters(INPUTS) or "1")

    @property
    def channel_axes(self) -> tuple[int, ...]:
        """The axes of the Keras kernel that count output channels: one int8 scale for each."""
        return tuple(axis for axis, letter in enumerate(self.keras) if letter in self.outputs)

    def channel_axis_in(self, order: Order) -> int:
        """The axis of an order that counts output channels."""
        return next(axis for axis, letters in enumerate(order) if set(letters) & set(self.outputs))

    def _letters(self, wanted: str) -> str:
        return "".join(letter for letter in self.keras if letter in wanted)

    def to(self, order: Order, kernel: np.ndarray) -> np.ndarray:
        """`kernel` in Keras's order, in another one."""
        if kernel.ndim != len(self.keras):
            raise ValueError(f"A kernel of axes {self.keras} was expected. Received: shape {kernel.shape}")
        sizes = dict(zip(self.keras, kernel.shape, strict=True))
        letters = "".join(order).replace("1", "")
        shape = [int(np.prod([sizes[letter] for letter in axis.replace("1", "")], dtype=int)) for axis in order]
        return kernel.transpose([self.keras.index(letter) for letter in letters]).reshape(shape)

    def back(self, order: Order, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """`values` in `order`, as a Keras kernel of `shape`: the inverse of `to`."""
        sizes = dict(zip(self.keras, shape, strict=True))
        letters = "".join(order).replace("1", "")
        split = values.reshape([sizes[letter] for letter in letters])
        return split.transpose([letters.index(letter) for letter in self.keras])

    def to_matrices(self, kernel: np.ndarray) -> np.ndarray:
        """A Keras kernel as a stack of matrices `(positions, rows, cols)`."""
        return self.to(self.matrices, kernel)

    def from_matrices(self, matrices: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The inverse of `to_matrices`, for a Keras kernel of `shape`."""
        return self.back(self.matrices, matrices, shape)


DENSE = Layout("IO", tflite=("O", "I"), onnx=("I", "O"))
DEPTHWISE_2D = Layout("HWCM", tflite=("1", "H", "W", "CM"), onnx=("CM", "1", "H", "W"))
CONV_2D = Layout("HWIO", tflite=("O", "H", "W", "I"), onnx=("O", "I", "H", "W"))

ROWS: dict[tuple[str, str], Layout] = {
    ("Dense", "kernel"): DENSE,
    ("Conv1D", "kernel"): Layout("WIO", tflite=("O", "1", "W", "I"), onnx=("O", "I", "W")),
    ("Conv2D", "kernel"): CONV_2D,
    ("Conv3D", "kernel"): Layout("DHWIO", tflite=("D", "H", "W", "I", "O"), onnx=("O", "I", "D", "H", "W")),
    ("Conv1DTranspose", "kernel"): Layout("WOI", onnx=("I", "O", "W")),
    ("Conv2DTranspose", "kernel"): Layout("HWOI", tflite=("O", "H", "W", "I"), onnx=("I", "O", "H", "W")),
    ("Conv3DTranspose", "kernel"): Layout("DHWOI", onnx=("I", "O", "D", "H", "W")),
    ("DepthwiseConv1D", "kernel"): Layout("WCM", tflite=("1", "1", "W", "CM"), onnx=("CM", "1", "W")),
    ("DepthwiseConv2D", "kernel"): DEPTHWISE_2D,
    ("SeparableConv1D", "depthwise_kernel"): Layout("WCM"),
    ("SeparableConv1D", "pointwise_kernel"): Layout("WIO"),
    ("SeparableConv2D", "depthwise_kernel"): DEPTHWISE_2D,
    ("SeparableConv2D", "pointwise_kernel"): CONV_2D,
}
"""(layer class, variable name) -> layout."""


def find(classes: tuple[str, ...], variable: str, rank: int, equation: str | None = None) -> Layout | None:
    """The layout of a layer's variable, or `None` where the variable is not a kernel.

    Args:
        classes: names of the layer's class and its bases, nearest first: a subclass of Dense is laid out as Dense.
        variable: name of the variable, such as "kernel".
        rank: number of its axes.
        equation: of an EinsumDense layer, which says which of its axes are outputs.

    A kernel of an unknown layer (RNN cells, layers of the user's) counts its last axis as outputs and all others as
    inputs, as Keras's own layers do.
    """
    for name in classes:
        row = ROWS.get((name, variable))
        if row is not None and len(row.keras) == rank:
            return row
    if not variable.endswith("kernel") or rank < 2:
        return None
    if equation is not None:
        return _einsum(equation)
    return _from_roles("I" * (rank - 1) + "O")


def _einsum(equation: str) -> Layout:
    """EinsumDense: axes of the kernel that the output has and the input has not are outputs, all others inputs."""
    inputs, rest = equation.replace(" ", "").split(",")
    kernel, outputs = rest.split("->")
    return _from_roles("".join("O" if axis in outputs and axis not in inputs else "I" for axis in kernel))


def _from_roles(roles: str) -> Layout:
    """A layout of several input and output axes, each with a letter of its own."""
    letters = {"I": iter(INPUTS), "O": iter(OUTPUTS)}
    return Layout("".join(next(letters[role]) for role in roles))
