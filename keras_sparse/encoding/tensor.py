"""A weight tensor as symbols: positions and values, each with the model that it is coded by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras_sparse_edge.spans import KINDS, ORDERS, Plane, Positions, Record
from keras_sparse_edge.weights import plane_peaks
from numpy.typing import NDArray

from keras_sparse.encoding import positions
from keras_sparse.encoding.histogram import fit_values
from keras_sparse.encoding.rans import Run

KIND = {"int8": 0, "uint8": 1, "float16": 2, "bfloat16": 2, "float32": 3}
"""Index in the decoder's KINDS for each dtype that is coded."""

RAW = 0.99
"""A plane that entropy coding does not bring below this part of its bytes is stored as it is, which is faster."""

SPARSE = 0.02
"""Part of the items that must be zero for positions to be tried."""


@dataclass(frozen=True, eq=False)
class CodedTensor:
    """A tensor as the format holds it.

    Attributes:
        record: what the file says of it.
        runs: symbols and their models, in the order that the decoder takes them.
        raw: the planes that are stored as they are, one after the other.
        bits: what it takes in the file, without its record and its part of the lanes.
        bound: bits of its positions and the empirical entropy of its values: of the bytes of each plane where items
            are wider than one.
    """

    record: Record
    runs: list[Run]
    raw: bytes
    bits: float
    bound: float


def encode(data: bytes | memoryview, dtype: str, shape: tuple[int, ...], start: int) -> CodedTensor:
    """The smallest form of a tensor that lies at `start` in its file, as bytes in the file's axis order.

    `dtype` is a name of `KIND`; `shape` has as many items as `data`, at least one.
    """
    kind = KINDS[KIND[dtype]]
    items = np.frombuffer(data, f"<u{kind.width}").reshape(shape)
    background = _background(items) if kind.width == 1 else 0
    record = Record(start, items.size, kind, background)
    nonzero = items != background
    found = None
    zeros = items.size - np.count_nonzero(nonzero)
    if items.size > zeros >= SPARSE * items.size:
        found = positions.find(nonzero)
    every = _dense(items, record)
    bound = _bound(items[nonzero], kind.width) + (
        found.bound(items.size - zeros) if found else positions.log2_choose(items.size, zeros)
    )
    choices = [every] if found is None else [every, _sparse(items, record, found)]
    record, runs, raw, bits = min(choices, key=lambda choice: choice[3])
    return CodedTensor(record, runs, raw, bits, bound)


Choice = tuple[Record, list[Run], bytes, float]


def _background(items: NDArray[np.uint8]) -> int:
    """What comes most often: 0 in int8 weights, the zero point in uint8 ones."""
    return int(np.bincount(items.reshape(-1), minlength=256).argmax())


def _dense(items: NDArray[np.unsignedinteger], record: Record) -> Choice:
    planes, runs, raw, bits = _planes(items.reshape(-1), record)
    return _with(record, None, planes), runs, raw, bits


def _sparse(items: NDArray[np.unsignedinteger], record: Record, found: positions.Found) -> Choice:
    model = positions.model(found)
    place = found.positions
    kept = items.reshape(place.shape).transpose(ORDERS[place.order])[positions.items(found)]
    planes, runs, raw, bits = _planes(kept, _with(record, place, ()))
    own = [model.run, (positions.symbols(found), model.frequencies)]
    return _with(record, place, planes), [*own, *runs], raw, model.bits + bits


def _with(record: Record, place: Positions | None, planes: tuple[Plane, ...]) -> Record:
    return Record(record.start, record.items, record.kind, record.background, place, planes)


def _planes(words: NDArray[np.unsignedinteger], record: Record) -> tuple[tuple[Plane, ...], list[Run], bytes, float]:
    peak, never = plane_peaks(record)
    planes, runs, raw, bits = [], [], [], 0.0
    for plane in to_planes(words, record.kind.flip, record.kind.turn):
        model = fit_values(np.bincount(plane, minlength=256), peak, never)
        if model.bits < RAW * 8 * plane.size:
            planes.append(Plane(model.spacing, model.low, model.high))
            runs += [model.run, (plane, model.frequencies)]
            bits += model.bits
        else:
            planes.append(Plane(0))
            raw.append(plane.tobytes())
            bits += 8 * plane.size
    return tuple(planes), runs, b"".join(raw), bits


def to_planes(words: NDArray[np.unsignedinteger], flip: int, turn: bool) -> list[NDArray[np.uint8]]:
    """The bytes of each word, low ones first, with bits rotated left by one and `flip` xored in where asked for.

    >>> [plane.tolist() for plane in to_planes(np.array([0x8001], np.uint16), 0, True)]
    [[3], [0]]
    """
    if turn:
        width = words.dtype.type(8 * words.itemsize - 1)
        words = (words << words.dtype.type(1)) | (words >> width)
    planes = words.astype(words.dtype.newbyteorder("<")).reshape(-1, 1).view(np.uint8)
    return [np.ascontiguousarray(plane) ^ np.uint8(flip) for plane in planes.T]


def _bound(words: NDArray[np.unsignedinteger], width: int) -> float:
    return sum(entropy(np.bincount(plane)) for plane in to_planes(words.reshape(-1), 0, width > 1))


def entropy(counts: NDArray[np.int64]) -> float:
    """Bits of all symbols together, by how often each comes.

    >>> entropy(np.array([2, 0, 2]))
    4.0
    """
    come = counts[counts > 0]
    return float((come * np.log2(come.sum() / come)).sum())


def width(dtype: str) -> int:
    """Bytes of one item.

    >>> width("float16")
    2
    """
    return KINDS[KIND[dtype]].width
