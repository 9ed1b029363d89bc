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
MAX_GROUPS = 16
DENSE, SPARSE, COPY = 0, 1, 2
ORDERS = tuple(itertools.permutations(range(3)))  # file axes as (matrices, rows, columns)


@dataclass(frozen=True)
class Kind:
    """How items become symbols: a byte is xored with `flip`; wider words are rotated left by one bit and cut.

    The highest byte then is the exponent, or begins with it, and the lowest one ends with the sign.
    """

    width: int  # bytes
    flip: int = 0


# int8; uint8; float16 and bfloat16; float32
KINDS = (Kind(1, flip=0x80), Kind(1), Kind(2), Kind(4))


@dataclass(frozen=True)
class Plane:
    """One byte of every item: symbols in [low, high] are coded. `spacing` 0: as it is, in the raw section, if the items
    are wider than one byte."""

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
    def view(self) -> tuple[int, int, int]:
        """Items: (matrices, rows, columns)."""
        first, second, third = (self.shape[axis] for axis in ORDERS[self.order])
        return first, second, third

    @property
    def symbols(self) -> tuple[int, int, int]:
        """Symbols: (matrices, rows of blocks, units along them); at the ends, blocks and units may be cut."""
        matrices, rows, columns = self.view
        blocks = -(-columns // self.columns)
        return matrices, -(-rows // self.rows), -(-blocks // self.unit)


@dataclass(frozen=True)
class Groups:
    """Channels with models of their own, for items of one byte.

    A channel is an index along `axis` of the items seen as `shape`: the positions' (matrices, rows, columns), or, where
    there are none, three axes in the file's order. Channels in the same one of `count` groups have the same model.
    """

    count: int
    shape: tuple[int, int, int]
    axis: int

    @property
    def channels(self) -> int:
        return self.shape[self.axis]


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
    groups: Groups | None = None
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
    groups = _groups(fields, items, positions) if kind.width == 1 else None
    planes = tuple(_plane(fields, 0 if kind.width > 1 else 1) for _ in range(kind.width))
    return Record(start, items, kind, background, positions, groups, planes)


def _shape(fields: Fields, items: int) -> tuple[int, int, int]:
    first, second = (fields.take(f"axis {i}", 1, items) for i in range(2))
    if items % (first * second):
        raise PackedError(f"the axes of {items} items must divide them; got {first} and {second}")
    return first, second, items // (first * second)


def _groups(fields: Fields, items: int, positions: Positions | None) -> Groups | None:
    count = fields.take("the number of groups", 1, MAX_GROUPS)
    if count == 1:
        return None
    shape = _shape(fields, items) if positions is None else positions.view
    return Groups(count, shape, fields.take("the axis of the groups", 0, 2))


def _positions(fields: Fields, items: int) -> Positions:
    positions = Positions(
        _shape(fields, items),
        fields.take("the axes' order", 0, len(ORDERS) - 1),
        fields.take("a block's rows", 1, 255),
        fields.take("a block's columns", 1, 255),
        fields.take("a unit", 1, 32),
        fields.take("the flags of a unit", 0, 32),
    )
    _, rows, columns = positions.view
    if positions.rows > rows or positions.columns > columns:
        raise PackedError(f"blocks must fit into {rows} x {columns}; got {positions.rows} x {positions.columns}")
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


def _plane(fields: Fields, least: int) -> Plane:
    spacing = fields.take("a plane's spacing", least, max(SPACINGS))
    if spacing == 0:
        return Plane(0)
    if spacing not in SPACINGS:
        raise PackedError(f"a plane's spacing must be 0 or one of {SPACINGS}; got {spacing}")
    low = fields.take("the lowest symbol", 0, 255)
    return Plane(spacing, low, fields.take("the highest symbol", low, 255))
