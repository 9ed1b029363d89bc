"""From symbols to the bytes of a weight tensor."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keras_sparse_edge import histogram
from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.rans import Decoder
from keras_sparse_edge.spans import MAX_ROW, ORDERS, Groups, Plane, Positions, Record

_CHUNK = 2**18  # items that are turned at once


class Raw:
    """The planes that are stored as they are, one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = np.frombuffer(data, np.uint8)
        self._used = 0

    def take(self, count: int) -> NDArray[np.uint8]:
        taken = self._data[self._used : self._used + count]
        if taken.size < count:
            raise PackedError(f"the raw section must have the bytes of every raw plane; got only {self._data.size}")
        self._used += count
        return taken

    def finish(self) -> None:
        if self._used != self._data.size:
            raise PackedError(f"the raw section must end with the last raw plane; got {self._data.size} bytes")


def take_weights(record: Record, coder: Decoder, raw: Raw, out: NDArray[np.uint8]) -> None:
    """Writes the record's bytes into `out`, which has as many, all of them 0."""
    if record.kind.width > 1:
        _take_wide(record, coder, raw, out)
    elif record.positions is None:
        _take_dense(record, coder, out)
    else:
        _take_sparse(record, record.positions, coder, out)


def _take_dense(record: Record, coder: Decoder, out: NDArray[np.uint8]) -> None:
    groups = record.groups
    labels = _take_labels(groups, coder)
    channels = np.moveaxis(out.reshape(groups.shape), groups.axis, 0) if groups else out.reshape(1, -1)
    for group in range(groups.count if groups else 1):
        frequencies = _take_model(record, record.planes[0], coder)
        mine = np.flatnonzero(labels == group)
        shape = (mine.size, *channels.shape[1:])
        channels[mine] = coder.take(math.prod(shape), frequencies).reshape(shape)
    np.bitwise_xor(out, np.uint8(record.kind.flip), out=out)


def _take_sparse(record: Record, positions: Positions, coder: Decoder, out: NDArray[np.uint8]) -> None:
    groups = record.groups
    symbols, table = _take_symbols(positions, coder), mask_table(positions)
    labels = _take_labels(groups, coder)
    out[:] = record.background
    target = out.reshape(positions.shape).transpose(ORDERS[positions.order])
    for group in range(groups.count if groups else 1):
        frequencies = _take_model(record, record.planes[0], coder)
        for place, flags in _bands(positions, symbols, table):
            if groups:
                # the labels of the band's channels, along their axis
                part = labels[(*place, slice(None))[groups.axis]] == group
                flags = flags & np.expand_dims(part, [axis for axis in range(3) if axis != groups.axis])
            values = coder.take(int(np.count_nonzero(flags)), frequencies)
            target[place][flags] = values ^ np.uint8(record.kind.flip)


def _take_wide(record: Record, coder: Decoder, raw: Raw, out: NDArray[np.uint8]) -> None:
    width, positions = record.kind.width, record.positions
    items = out.reshape(record.items, width)
    if positions is None:
        _take_planes(record, coder, raw, items)
        return
    symbols, table = _take_symbols(positions, coder), mask_table(positions)
    count = sum(int(np.count_nonzero(flags)) for _, flags in _bands(positions, symbols, table))
    values = np.empty((count, width), np.uint8)
    _take_planes(record, coder, raw, values)
    word = np.dtype(f"u{width}")
    target = items.view(word).reshape(positions.shape).transpose(ORDERS[positions.order])
    left = values.view(word).reshape(-1)
    for place, flags in _bands(positions, symbols, table):
        used = int(np.count_nonzero(flags))
        target[place][flags] = left[:used]
        left = left[used:]


def mask_table(positions: Positions) -> NDArray[np.bool_]:
    """The masks of a unit, bool (symbols, unit): fewer flags first, and in the order of their first flags.

    >>> mask_table(Positions((1, 1, 3), 0, 1, 1, 3, 1)).astype(int).tolist()
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    """
    unit, most = positions.unit, positions.most
    sets = [each for n in range(min(unit, most) + 1) for each in itertools.combinations(range(unit), n)]
    table = np.zeros((len(sets), unit), bool)
    for row, flags in zip(table, sets, strict=True):
        row[list(flags)] = True
    return table


def mask_frequencies(table: NDArray[np.bool_], levels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Masks with as many flags are as frequent: one level for each number of flags."""
    return histogram.frequencies(histogram.weights(levels)[table.sum(1)])


def plane_peaks(record: Record) -> tuple[int | None, int | None]:
    """The symbol that has a level of its own, and the one that never comes: both are the background."""
    if record.kind.width > 1:
        return None, None
    background = record.background ^ record.kind.flip
    single = record.positions is not None and record.positions.rows * record.positions.columns == 1
    return (None, background) if single else (background, None)


def _take_symbols(positions: Positions, coder: Decoder) -> NDArray[np.uint8]:
    table = mask_table(positions)
    levels = histogram.take_levels(coder, min(positions.unit, positions.most) + 1)
    shape = positions.symbols
    return coder.take(shape[0] * shape[1] * shape[2], mask_frequencies(table, levels)).reshape(shape)


def _take_labels(groups: Groups | None, coder: Decoder) -> NDArray[np.uint8]:
    """The group of every channel."""
    if groups is None:
        return np.zeros(1, np.uint8)
    return coder.take(groups.channels, label_frequencies(groups.count))


def label_frequencies(count: int) -> NDArray[np.int64]:
    """Of groups of channels: none is more frequent than others."""
    return histogram.frequencies(np.ones(count, np.int64))


def _take_model(record: Record, plane: Plane, coder: Decoder) -> NDArray[np.int64]:
    peak, never = plane_peaks(record)
    alone, inside = histogram.knots(plane.low, plane.high, peak, plane.spacing)
    levels = histogram.take_levels(coder, alone.size + inside.size)
    return histogram.spread(levels, plane.low, plane.high, peak, plane.spacing, never)


def _take_planes(record: Record, coder: Decoder, raw: Raw, items: NDArray[np.uint8]) -> None:
    """All bytes of the items, uint8 (items, width), plane by plane."""
    for i, plane in enumerate(record.planes):
        if plane.spacing == 0:
            items[:, i] = raw.take(len(items))
        else:
            frequencies = _take_model(record, plane, coder)
            items[:, i] = coder.take(len(items), frequencies)
    words = items.view(f"<u{record.kind.width}").reshape(-1)
    for start in range(0, words.size, _CHUNK):
        word = words[start : start + _CHUNK]
        word[:] = (word >> word.dtype.type(1)) | (word << word.dtype.type(8 * record.kind.width - 1))


def _bands(
    positions: Positions, symbols: NDArray[np.uint8], table: NDArray[np.bool_]
) -> Iterator[tuple[tuple[slice, slice], NDArray[np.bool_]]]:
    """Flags of all items, (matrices, rows, columns), some matrices or some rows at a time, and which these are."""
    _, rows, columns = positions.view
    matrices, grid_rows, units = positions.symbols
    row = units * positions.unit * positions.rows * positions.columns  # items of a row of blocks
    rows_at_once = max(1, MAX_ROW // row)
    matrices_at_once = max(1, rows_at_once // grid_rows)
    for matrix in range(0, matrices, matrices_at_once):
        for first in range(0, grid_rows, rows_at_once):
            part = symbols[matrix : matrix + matrices_at_once, first : first + rows_at_once]
            flags = table.take(part, axis=0).reshape(*part.shape[:2], units * positions.unit)
            flags = flags[:, :, : -(-columns // positions.columns)]
            if positions.rows > 1:
                flags = flags.repeat(positions.rows, axis=1)
            if positions.columns > 1:
                flags = flags.repeat(positions.columns, axis=2)
            top = first * positions.rows
            flags = flags[:, : rows - top, :columns]
            yield (slice(matrix, matrix + flags.shape[0]), slice(top, top + flags.shape[1])), flags
