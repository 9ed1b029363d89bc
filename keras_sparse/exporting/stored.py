"""What is stored in a file: its constants and its operations, the same for every format."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A constant of a file, in the axis order of the runtime.

    Attributes:
        channel_axis: the axis that counts output channels where the scales are per channel, else `None`.
    """

    name: str
    values: np.ndarray
    scale: np.ndarray | None = None
    zero_point: np.ndarray | None = None
    channel_axis: int | None = None

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
    tensors: tuple[StoredTensor, ...]
    operations: tuple[Operation, ...]

    def float_operations(self, apart_from):
        """Operations that compute in float, but for those that are named."""
        return [each for each in self.operations if each.dtype in ("float32", "float16") and each.name not in apart_from]
