"""What a packed file says of each weight tensor: its records, checked one by one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.fields import Fields
from keras_sparse_edge.histogram import SPACINGS

MAX_RECORDS = 4096
MAX_ROW = 2**20  # flags of one row
MAX_BAND = 2**22  # items of one row of blocks
MAX_MASKS = 256
DENSE, SPARSE, COPY = 0, 1, 2
ORDERS = tuple(itertools.permutations(range(3)))  # file axes as (matrices, rows, columns)


@dataclass(frozen=True)
class Kind:
    """How items become symbols: `width` bytes each; `flip` is xored into a byte, `turn` rotates the bits left by one."""

    width: int
    flip: int = 0
    turn: bool = False


# int8; uint8; float16 and bfloat16; float32: the exponent becomes the highest byte, the sign the lowest bit
KINDS = (Kind(1, flip=0x80), Kind(1), Kind(2, turn=True), Kind(4, turn=True))


@dataclass(frozen=True)
class Plane:
    """One byte of every item. `spacing` 0: as it is, in the raw section; else symbols in [low, high] are coded."""

    spacing: int
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Positions:
    """Where the items are that are not background, block by block.

    The items, seen as `shape` in the file's order, are put in the axis order `order`: (matrices, rows, columns). Blocks
    of `rows` x `columns` are flagged; `unit` flags of a row, at most `most` of them set, are one symbol.
    """

    shape: tuple[int, int, int]
    order: int
    rows: int
    columns: int
    unit: int
    most: int

    @property
    def grid(self) -> tuple[int, int, int]:
        """Blocks: (matrices, rows, columns), the last ones of an axis perhaps cut."""
        matrices, rows, columns = (self.shape[axis] for axis in ORDERS[self.order])
        return matrices, -(-rows // self.rows), -(-columns // self.columns)

    @property
    def symbols(self) -> tuple[int, int, int]:
        """Symbols: as `grid`, with units along the rows."""
        matrices, rows, columns = self.grid
        return matrices, rows, -(-columns // self.unit)


@dataclass(frozen=True)
class Record:
    """A span of the original file: `start` in bytes, and how its items are coded.

    `copy` is the record that this one equals; then the rest is that record's.
    """

    start: int
    items: int
    kind: Kind
    background: int = 0  # the item, one byte wide, that the positions leave out; 0 for wider kinds
    positions: Positions | None = None
    planes: tuple[Plane, ...] = ()
    copy: Record | None = None

    @property
    def bytes(self) -> int:
        return self.items * self.kind.width


def take_records(fields: Fields, size: int) -> list[Record]:
    """All records of a file of `size` bytes: in the file's order, without overlap; PackedError if one is not."""
    records: list[Record] = []
    end = 0
    for number in range(fields.take("the number of records", 0, MAX_RECORDS)):
        start = end + fields.take("a record's gap")
        record = _record(fields, start, records, size)
        end = start + record.bytes
        if end > size:
            raise PackedError(f"record {number} must end within the {size} bytes; got {end}")
        records.append(record)
    return records


def _record(fields: Fields, start: int, before: list[Record], size: int) -> Record:
    form = fields.take("a record's form", DENSE, COPY)
    if form == COPY:
        back = fields.take("a copy's distance", 1, max(1, len(before)))
        if not before:
            raise PackedError("a copy must follow the record that it equals; got the first record")
        source = before[-back]
        return Record(start, source.items, source.kind, copy=source)
    kind = KINDS[fields.take("a record's kind", 0, len(KINDS) - 1)]
    items = fields.take("a record's items", 1, size)
    background = fields.take("the background", 0, 255) if kind.width == 1 else 0
    positions = _positions(fields, items) if form == SPARSE else None
    planes = tuple(_plane(fields) for _ in range(kind.width))
    return Record(start, items, kind, background, positions, planes)


def _positions(fields: Fields, items: int) -> Positions:
    first, second = (fields.take(f"axis {i}", 1, items) for i in range(2))
    if items % (first * second):
        raise PackedError(f"the axes of {items} items must divide them; got {first} and {second}")
    positions = Positions(
        (first, second, items // (first * second)),
        fields.take("the axes' order", 0, len(ORDERS) - 1),
        fields.take("a block's rows", 1, 255),
        fields.take("a block's columns", 1, 255),
        fields.take("a unit", 1, 32),
        fields.take("the flags of a unit", 0, 32),
    )
    if masks(positions.unit, positions.most) > MAX_MASKS:
        raise PackedError(f"a unit must have at most {MAX_MASKS} masks; got {positions.most} of {positions.unit} flags")
    row = positions.symbols[2] * positions.unit
    if row > MAX_ROW or row * positions.rows * positions.columns > MAX_BAND:
        raise PackedError(f"a row must have at most {MAX_ROW} flags for {MAX_BAND} items; got {row} flags")
    return positions


def masks(unit: int, most: int) -> int:
    """How many masks of `unit` flags have at most `most` set.

    >>> masks(4, 2)
    11
    """
    count = term = 1
    for k in range(min(unit, most)):
        term = term * (unit - k) // (k + 1)
        count += term
    return count


def _plane(fields: Fields) -> Plane:
    spacing = fields.take("a plane's spacing", 0, max(SPACINGS))
    if spacing == 0:
        return Plane(0)
    if spacing not in SPACINGS:
        raise PackedError(f"a plane's spacing must be 0 or one of {SPACINGS}; got {spacing}")
    low = fields.take("the lowest symbol", 0, 255)
    return Plane(spacing, low, fields.take("the highest symbol", low, 255))
