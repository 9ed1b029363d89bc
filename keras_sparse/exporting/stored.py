"""What is stored in a file: its constants and its operations, the same for every format."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A constant of a file, in the axis order of the runtime.

    Attributes:
        channel_axis: the axis that counts output channels where the scales are per channel, else `None`.
        input_axis: the axis along which the inputs of one output channel lie next to each other.
        encoding: "dense", or how else the file stores it, such as "csr 1x16"; `values` are dense in any case.
        nbytes: bytes of the values in the file, with their tables.
        index: the tensor's place in the file, where that matters to its format.
    """

    name: str
    values: np.ndarray
    scale: np.ndarray | None = None
    zero_point: np.ndarray | None = None
    channel_axis: int | None = None
    input_axis: int = -1
    encoding: str = "dense"
    nbytes: int | None = None
    index: int | None = None

    def __post_init__(self):
        if self.nbytes is None:
            object.__setattr__(self, "nbytes", self.values.nbytes)

    def matrices(self):
        """The values as `(positions, rows, cols)`: rows are output channels, cols inputs, as in `layout.py`."""
        inputs = self.input_axis % self.values.ndim
        channels = self.channel_axis if self.channel_axis is not None else int(inputs == 0)
        if channels == inputs:  # depthwise: each output channel has its kernel positions as inputs
            return np.moveaxis(self.values, channels, 0).reshape(1, self.values.shape[channels], -1)
        moved = np.moveaxis(self.values, (channels, inputs), (-2, -1))
        return moved.reshape(-1, *moved.shape[-2:])

    @property
    def zeros(self):
        return int(self.values.size - np.count_nonzero(self.values))


@dataclass(frozen=True)
class Operation:
    """An operation of a file: `name` as the format calls it, `output` its first output, `dtype` of that output."""

    name: str
    output: str
    dtype: str


@dataclass(frozen=True, eq=False)
class StoredModel:
    """The constants and the operations of a file; `opset` is the version of ONNX's operations that it uses."""

    tensors: tuple[StoredTensor, ...]
    operations: tuple[Operation, ...]
    opset: int | None = None

    def float_operations(self, apart_from):
        """Operations that compute in float, but for those that are named."""
        return [o for o in self.operations if o.dtype in ("float32", "float16") and o.name not in apart_from]


def said(error):
    """What an error in reading a damaged file says: our own words as they are, others' with the error's name."""
    return str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
