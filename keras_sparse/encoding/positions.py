"""Where the non-zeros are: the N:M index, the block index or single flags, whichever is smallest for a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from keras_sparse_edge.spans import MAX_BAND, MAX_MASKS, MAX_ROW, ORDERS, Positions, masks
from keras_sparse_edge.weights import mask_table
from numpy.typing import NDArray

from keras_sparse.encoding.histogram import Model, fit_groups

BLOCKS = ((1, 2), (1, 4), (1, 8), (1, 16), (1, 32), (2, 1), (4, 1), (8, 1), (16, 1), (2, 2), (4, 4), (8, 8))
UNITS = (4, 8, 16, 32)
"""Groups of flags that are tried; 8 holds any, the larger ones few set flags."""


@dataclass(frozen=True, eq=False)
class Found:
    """How the non-zeros of a tensor lie.

    Attributes:
        flags: of blocks, bool (matrices, rows, columns).
        items: how many items lie in flagged blocks, zeros among them too.
        bits: what the flags cost, by the counts of flags in a unit, and which of `items` are zero.
    """

    positions: Positions
    flags: NDArray[np.bool_]
    items: int
    bits: float

    def bound(self, nonzeros: int) -> float:
        """Bits that saying where `nonzeros` non-zeros are takes: anywhere, in blocks or in N:M groups, the least of it.

        log2 C(n, nonzeros); log2 C(blocks, flagged) + log2 C(items, nonzeros); the sum of log2 C(M, k) over all groups,
        which have k each, and the entropy of the k.
        """
        positions = self.positions
        free = log2_choose(math.prod(positions.shape), nonzeros)
        if positions.rows * positions.columns > 1:
            flagged = int(np.count_nonzero(self.flags))
            return min(free, log2_choose(self.flags.size, flagged) + log2_choose(self.items, nonzeros))
        return min(free, self.bits)


def find(nonzero: NDArray[np.bool_]) -> Found | None:
    """The cheapest form of the positions of a tensor, in the file's axis order; None where no form can hold it.

    >>> scores = np.random.default_rng(0).random((16, 4, 4))
    >>> found = find((scores.argsort(2).argsort(2) < 2).reshape(16, 16))
    >>> found.positions.unit, found.positions.most
    (4, 2)
    """
    return min(_candidates(nonzero), key=lambda found: found.bits, default=None)


def views(shape: tuple[int, ...]) -> dict[tuple[tuple[int, int, int], int], None]:
    """How a tensor can be seen as matrices of rows and columns: (axes in the file's order, index in ORDERS).

    The columns are the last axis, as in (out, in) and (out, height, width, in); the first but one, as in (in, out),
    (1, height, width, channels) and (out, in, height, width); or all but the first.

    >>> list(views((8, 3, 3, 4)))
    [((8, 9, 4), 2), ((8, 3, 12), 4), ((1, 72, 4), 1), ((1, 8, 36), 0)]
    """
    first, last, size = shape[0], shape[-1], math.prod(shape)
    found = []
    if len(shape) > 2:
        found += [((first, size // (first * last), last), 2), ((first, shape[1], size // (first * shape[1])), 4)]
    if len(shape) > 1:
        found += [((1, size // last, last), 1), ((1, first, size // first), 0)]
    return dict.fromkeys(found)


def log2_choose(n: int, k: int) -> float:
    """log2 of the number of ways to choose `k` of `n`.

    >>> round(log2_choose(4, 2), 3)
    2.585
    """
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def symbols(found: Found) -> NDArray[np.uint8]:
    """The units of the flags as indices into the decoder's table of masks, in the order that it takes them."""
    units = _units(found.flags, found.positions.unit)
    bits = np.uint64(1) << np.arange(found.positions.unit, dtype=np.uint64)
    table = mask_table(found.positions) @ bits
    order = np.argsort(table)
    codes = (units * bits).sum(-1, dtype=np.uint64) if units.size < 2**20 else units @ bits
    return order[np.searchsorted(table[order], codes)].astype(np.uint8).reshape(-1)


def model(found: Found) -> Model:
    """The model of `symbols`: masks with as many flags are as frequent."""
    unit, most = found.positions.unit, found.positions.most
    counts = np.bincount(_units(found.flags, unit).sum(-1, dtype=np.uint8).reshape(-1), minlength=most + 1)
    return fit_groups(counts, np.array([math.comb(unit, k) for k in range(most + 1)]))


def items(found: Found) -> NDArray[np.bool_]:
    """Which items lie in flagged blocks: bool, as (matrices, rows, columns)."""
    positions = found.positions
    _, rows, columns = (positions.shape[axis] for axis in ORDERS[positions.order])
    return found.flags.repeat(positions.rows, 1).repeat(positions.columns, 2)[:, :rows, :columns]


def _candidates(nonzero: NDArray[np.bool_]) -> Iterator[Found]:
    size, nonzeros = nonzero.size, int(np.count_nonzero(nonzero))
    row = math.gcd(size, MAX_ROW)  # in rows of whole units, whatever the axes are
    if row % 8 == 0:
        flat = nonzero.reshape(1, size // row, row)
        yield from _of_units(flat, (1, size // row, row), 0, (1, 1), nonzeros, (8,))
    for shape, order in views(nonzero.shape):
        matrices = nonzero.reshape(shape).transpose(ORDERS[order])
        yield from _of_units(matrices, shape, order, (1, 1), nonzeros, UNITS)
        for rows, columns in BLOCKS:
            if rows <= matrices.shape[1] and columns <= matrices.shape[2]:
                flags = _any(matrices, rows, columns)
                yield from _of_units(flags, shape, order, (rows, columns), nonzeros, (8,))


def _of_units(
    flags: NDArray[np.bool_],
    shape: tuple[int, int, int],
    order: int,
    block: tuple[int, int],
    nonzeros: int,
    sizes: tuple[int, ...],
) -> Iterator[Found]:
    rows, columns = block
    inside = nonzeros if block == (1, 1) else _items(flags, [shape[axis] for axis in ORDERS[order]], rows, columns)
    for unit in sizes:
        counts = np.bincount(_units(flags, unit).sum(-1, dtype=np.uint8).reshape(-1))
        most = counts.size - 1
        positions = Positions(shape, order, rows, columns, unit, most)
        row = positions.symbols[2] * unit
        if masks(unit, most) <= MAX_MASKS and row <= MAX_ROW and row * rows * columns <= MAX_BAND:
            rates = counts[counts > 0] / np.array([math.comb(unit, k) for k in np.flatnonzero(counts)])
            bits = float((counts[counts > 0] * np.log2(counts.sum() / rates)).sum())
            yield Found(positions, flags, inside, bits + _entropy(inside, nonzeros))


def _units(flags: NDArray[np.bool_], unit: int) -> NDArray[np.bool_]:
    """(matrices, rows, units, unit): what is missing of a row's last unit is not set."""
    missing = -flags.shape[2] % unit
    if missing:
        flags = np.pad(flags, ((0, 0), (0, 0), (0, missing)))
    return flags.reshape(*flags.shape[:2], -1, unit)


def _any(matrices: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """Whether each block has a non-zero; blocks at the ends may be cut."""
    flags = matrices
    if columns > 1:
        flags = np.logical_or.reduceat(flags, np.arange(0, flags.shape[2], columns), axis=2)
    if rows > 1:
        flags = np.logical_or.reduceat(flags, np.arange(0, flags.shape[1], rows), axis=1)
    return flags


def _items(flags: NDArray[np.bool_], shape: list[int], rows: int, columns: int) -> int:
    heights = np.minimum(rows, shape[1] - rows * np.arange(flags.shape[1]))
    widths = np.minimum(columns, shape[2] - columns * np.arange(flags.shape[2]))
    return int(heights @ flags.sum(0) @ widths)


def _entropy(items: int, nonzeros: int) -> float:
    """Bits that say which of `items` are zero, each by itself."""
    return sum(-n * math.log2(n / items) for n in (nonzeros, items - nonzeros) if n)
