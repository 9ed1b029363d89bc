"""The 2:4 compressed form of sparse tensor cores: two values of each four inputs, and where they are.

Of each group of four inputs of a row, two values are stored, and one nibble `i0 | i1 << 2` with their places
`i0 < i1`. A group with fewer non-zeros stores zeros too, from its last place backwards:

    [a, b, 0, 0] -> a, b  0b0100        [a, 0, 0, 0] -> a, 0  0b1100
    [0, 0, a, b] -> a, b  0b1110        [0, 0, 0, 0] -> 0, 0  0b1110

Nibbles are packed into words, the first group in the lowest bits: 8 in an int32 beside int8 values, 4 in an int16
beside float16 and float32. The last word of a row is filled with nibbles of empty groups. Libraries of GPU kernels
reorder the words further, each in its own way; this is the plain form.

Source: Mishra et al. 2021, "Accelerating Sparse Deep Neural Networks", section 2.
"""

from __future__ import annotations

import numpy as np

GROUP, KEPT = 4, 2
EMPTY = 0b1110
"""The nibble of a group of zeros."""

WORDS: dict[str, type[np.signedinteger]] = {"int8": np.int32, "float16": np.int16, "float32": np.int16}
"""{type of the values: type of the words of their nibbles}."""


def pack_2of4(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`(values, metadata)` of a matrix whose rows have at most two non-zeros in each group of four inputs.

    Args:
        matrix: `(rows, cols)`, rows are output channels and cols their inputs, a multiple of 4; int8, float16 or
            float32. -0.0 counts as 0.

    Returns:
        `values` `(rows, cols / 2)` of the type of `matrix`; `metadata` `(rows, words)`, int32 words of 8 nibbles for
        int8, int16 words of 4 nibbles for float16 and float32.

    Raises:
        ValueError: a group has more non-zeros, named by row and group, or the matrix has another size or type.

    >>> values, metadata = pack_2of4(np.int8([[0, 5, 0, -7, 3, 0, 0, 0]]))
    >>> values.tolist(), f"{int(metadata[0, 0]) & 0xFF:#010b}"
    ([[5, -7, 3, 0]], '0b11001101')
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[1] % GROUP:
        raise ValueError(f"2:4 takes (rows, cols) with cols a multiple of {GROUP}. Received: shape {matrix.shape}")
    word = _word(matrix.dtype)
    groups = matrix.reshape(matrix.shape[0], matrix.shape[1] // GROUP, GROUP)
    used = groups != 0
    broken = np.argwhere(used.sum(-1) > KEPT)
    if len(broken):
        row, group = (int(n) for n in broken[0])
        raise ValueError(
            f"2:4 keeps at most {KEPT} of {GROUP}; {len(broken)} groups hold more, first row {row}, group {group} "
            f"(inputs {GROUP * group} to {GROUP * group + GROUP - 1}). Received: {groups[row, group].tolist()}"
        )
    # Non-zeros first, then zeros from the last place backwards; the two that lead are kept, in their order.
    priority = np.where(used, 2 * GROUP, 0) + np.arange(GROUP)
    places = np.sort(np.argsort(-priority, axis=-1)[..., :KEPT], axis=-1)
    values = np.take_along_axis(groups, places, axis=-1).reshape(matrix.shape[0], matrix.shape[1] // 2)
    return values, _words(places[..., 0] | places[..., 1] << 2, word)


def unpack_2of4(values: np.ndarray, metadata: np.ndarray) -> np.ndarray:
    """The matrix that `pack_2of4` made `values` and `metadata` of.

    Raises:
        ValueError: sizes or types do not belong together, or a nibble has its places out of order.

    >>> unpack_2of4(*pack_2of4(np.float16([[0, 1, 0, 2], [3, 0, 0, 0]]))).tolist()
    [[0.0, 1.0, 0.0, 2.0], [3.0, 0.0, 0.0, 0.0]]
    """
    values, metadata = np.asarray(values), np.asarray(metadata)
    word = _word(values.dtype)
    if values.ndim != 2 or values.shape[1] % KEPT:
        raise ValueError(f"2:4 values are (rows, cols / 2), two a group. Received: shape {values.shape}")
    rows, groups = values.shape[0], values.shape[1] // KEPT
    per_word = 2 * np.dtype(word).itemsize
    shape = (rows, -(-groups // per_word))
    if metadata.dtype != word or metadata.shape != shape:
        raise ValueError(
            f"Metadata of {groups} groups in {rows} rows are {np.dtype(word).name} of shape {shape}. "
            f"Received: {metadata.dtype} of shape {metadata.shape}"
        )
    shifts = 4 * np.arange(per_word)
    nibbles = (metadata.astype(np.int64)[..., None] >> shifts & 0xF).reshape(rows, shape[1] * per_word)[:, :groups]
    first, second = nibbles & 3, nibbles >> 2
    broken = np.argwhere(first >= second)
    if len(broken):
        row, group = (int(n) for n in broken[0])
        raise ValueError(
            f"The places of two values are in rising order; not so in row {row}, group {group}. "
            f"Received: nibble {int(nibbles[row, group]):#06b}"
        )
    dense = np.zeros((rows, groups, GROUP), values.dtype)
    np.put_along_axis(dense, np.stack([first, second], -1), values.reshape(rows, groups, KEPT), axis=-1)
    return dense.reshape(rows, GROUP * groups)


def _word(dtype: np.dtype) -> type[np.signedinteger]:
    if dtype.name not in WORDS:
        raise ValueError(f"2:4 values are one of {sorted(WORDS)}. Received: {dtype}")
    return WORDS[dtype.name]


def _words(nibbles: np.ndarray, word: type[np.signedinteger]) -> np.ndarray:
    per_word = 2 * np.dtype(word).itemsize
    padded = np.pad(nibbles, ((0, 0), (0, -nibbles.shape[1] % per_word)), constant_values=EMPTY)
    split = padded.reshape(len(nibbles), padded.shape[1] // per_word, per_word).astype(np.int64)
    packed: np.ndarray = (split << 4 * np.arange(per_word)).sum(-1)
    return packed.astype(np.dtype(f"u{np.dtype(word).itemsize}")).view(word)
