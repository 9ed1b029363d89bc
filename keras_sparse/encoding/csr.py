"""Compressed sparse rows, of single values or of blocks, as TFLite stores a sparse tensor.

A tensor of any rank is rows of its last axis: OHWI has O * H * W rows of I, OI has O rows of I. A block is `rows`
neighbours along the first axis (output channels) by `cols` along the last one (inputs). For each row of blocks,
`indices` lists those that are not all zero, from `segments[row]` to `segments[row + 1]`; `data` holds their values one
after the other, row by row within a block. Source: `SparsityParameters` of the TFLite schema, and `FormatConverter`,
which reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

INDEX_TYPES = (np.uint8, np.uint16, np.int32)
"""What the schema has for segments and indices; each array takes the first that holds its largest value."""


@dataclass(frozen=True, eq=False)
class CSR:
    """A sparse tensor.

    Attributes:
        shape: of the dense tensor.
        block: `(rows, cols)`.
        segments: `rows of blocks + 1` numbers of blocks, the first one 0.
        indices: the place of each block in its row, in blocks.
        data: `(blocks, rows, cols)` values.
    """

    shape: tuple[int, ...]
    block: tuple[int, int]
    segments: np.ndarray
    indices: np.ndarray
    data: np.ndarray

    @property
    def nbytes(self) -> int:
        """Bytes of values, indices and segments."""
        return self.data.nbytes + self.indices.nbytes + self.segments.nbytes


def fits(shape: tuple[int, ...], block: tuple[int, int]) -> bool:
    """Whether blocks fill the tensor: readers drop what sticks out."""
    return len(shape) >= 2 and shape[0] % block[0] == 0 and shape[-1] % block[1] == 0


def encode(values: np.ndarray, block: tuple[int, int] = (1, 1)) -> CSR:
    """The sparse form of `values`: every block that holds a value other than 0 is stored; -0.0 is a 0.

    Of nothing but zeros, the first block is stored: for readers, a tensor without data is no constant.

    Raises:
        ValueError: blocks do not fill the tensor.

    >>> made = encode(np.int8([[0, 0, 5, 6], [0, 0, 0, 0]]), (1, 2))
    >>> made.segments.tolist(), made.indices.tolist(), made.data.tolist()
    ([0, 1, 1], [1], [[[5, 6]]])
    """
    rows, cols = block
    if not fits(values.shape, block):
        raise ValueError(
            f"Blocks of {rows} x {cols} need axes, first and last, of multiples of {rows} and {cols}. "
            f"Received: shape {values.shape}"
        )
    first, last = values.shape[0] // rows, values.shape[-1] // cols
    middle = values.shape[1:-1]
    # (first, rows, middle, last, cols) -> (first, middle, last, rows, cols): blocks in the order in which they are read
    blocks = np.moveaxis(values.reshape(first, rows, *middle, last, cols), 1, -2)
    stored = (blocks != 0).any(axis=(-2, -1)).reshape(-1, last)
    stored[0, 0] |= not stored.any()
    where = np.flatnonzero(stored.ravel())
    segments = np.concatenate([[0], np.cumsum(stored.sum(axis=1))])
    return CSR(values.shape, block, _narrow(segments), _narrow(where % last), blocks.reshape(-1, rows, cols)[where])


def decode(made: CSR) -> np.ndarray:
    """The dense tensor.

    Raises:
        ValueError: segments and indices do not describe a tensor of that shape.

    >>> decode(encode(np.int8([[0, 7], [8, 0]]))).tolist()
    [[0, 7], [8, 0]]
    """
    rows, cols = made.block
    if not fits(made.shape, made.block):
        raise ValueError(f"Blocks of {rows} x {cols} do not fill a tensor of shape {made.shape}")
    first, last = made.shape[0] // rows, made.shape[-1] // cols
    middle = made.shape[1:-1]
    lines = first * int(np.prod(middle, dtype=int))
    segments, indices = made.segments.astype(np.int64), made.indices.astype(np.int64)
    counts = np.diff(segments)
    if len(segments) != lines + 1 or segments[0] != 0 or (counts < 0).any() or segments[-1] != len(indices):
        raise ValueError(f"{len(segments)} segments do not rise from 0 to {len(indices)} blocks over {lines} rows")
    at = np.repeat(np.arange(lines), counts) * last + indices
    if made.data.shape != (len(indices), rows, cols) or (indices >= last).any() or (np.diff(at) <= 0).any():
        raise ValueError(
            f"{len(indices)} indices below {last}, rising within a row, and data {made.data.shape} expected"
        )
    blocks = np.zeros((lines * last, rows, cols), made.data.dtype)
    blocks[at] = made.data
    return np.moveaxis(blocks.reshape(first, *middle, last, rows, cols), -2, 1).reshape(made.shape)


def _narrow(values: np.ndarray) -> np.ndarray:
    largest = int(values.max(initial=0))
    return values.astype(next(each for each in INDEX_TYPES if largest <= np.iinfo(each).max))
