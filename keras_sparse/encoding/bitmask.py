"""A tensor as a bitmask and the values that are not zero: exact, one bit for each element."""

from __future__ import annotations

import math

import numpy as np


def encode(tensor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(mask, values)` of `tensor`; elements in C order.

    An element is left out where all its bits are 0: a negative zero, or a NaN of any payload, is a value.

    Returns:
        mask: uint8, `ceil(n / 8)` bytes; bit `i % 8` (the lowest is 0) of byte `i // 8` is 1 where element `i` is kept;
            the bits after the last element are 0.
        values: the kept elements, in the dtype of `tensor`.

    >>> mask, values = encode(np.float32([[0.0, 2.5, 0.0], [-1.0, 0.0, 0.0]]))
    >>> mask.tolist(), values.tolist()
    ([10], [2.5, -1.0])
    """
    flat = np.ascontiguousarray(tensor).reshape(-1)
    kept = _bits(flat) != 0
    return np.packbits(kept, bitorder="little"), flat[kept]


def decode(mask: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor of `shape`, in the dtype of `values`: the inverse of `encode`.

    Raises:
        ValueError: mask, values and shape do not go together, or are not what `encode` writes; says which.

    >>> decode(np.uint8([10]), np.float32([2.5, -1.0]), (2, 3)).tolist()
    [[0.0, 2.5, 0.0], [-1.0, 0.0, 0.0]]
    """
    if any(size < 0 for size in shape):
        raise ValueError(f"A shape of sizes that are not negative was required. Received: {shape}")
    count = math.prod(shape)
    if mask.dtype != np.uint8 or mask.shape != (-(-count // 8),):
        raise ValueError(
            f"A mask of {-(-count // 8)} bytes was required for the shape {shape}. "
            f"Received: {mask.dtype}, shape {mask.shape}"
        )
    kept = np.unpackbits(mask, bitorder="little").astype(bool)
    if kept[count:].any():
        raise ValueError(f"The mask has bits set after its last element, number {count - 1}.")
    if values.shape != (int(kept.sum()),):
        raise ValueError(f"The mask keeps {int(kept.sum())} values. Received: shape {values.shape}")
    if not _bits(values).all():
        raise ValueError("A value that the mask keeps is zero.")
    tensor = np.zeros(count, values.dtype)
    tensor[kept[:count]] = values
    return tensor.reshape(shape)


def encoded_bytes(tensor: np.ndarray) -> int:
    """The bytes of `encode(tensor)`: mask and values.

    >>> encoded_bytes(np.float32([0.0, 2.5, 0.0]))
    5
    """
    kept = int(np.count_nonzero(_bits(np.ascontiguousarray(tensor).reshape(-1))))
    return -(-tensor.size // 8) + kept * tensor.itemsize


def _bits(flat: np.ndarray) -> np.ndarray:
    """The elements as unsigned integers of their size."""
    return flat.view(f"u{flat.itemsize}")
