"""A weight tensor as symbols: positions and values, each with the model that it is coded by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from keras_sparse_edge.spans import KINDS, ORDERS, Record
from numpy.typing import NDArray

from keras_sparse.encoding import positions
from keras_sparse.encoding.rans import Run
from keras_sparse.encoding.values import Values, code_bytes, code_planes, to_planes

KIND = {"int8": 0, "uint8": 1, "float16": 2, "bfloat16": 2, "float32": 3}
"""Index in the decoder's KINDS for each dtype that is coded."""

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
    zeros = items.size - int(np.count_nonzero(nonzero))
    if items.size > zeros >= SPARSE * items.size:
        found = positions.find(nonzero)
    nonzeros = items.size - zeros
    bound = _bound(items[nonzero]) + (found.bound(nonzeros) if found else positions.log2_choose(items.size, zeros))
    coded = [_dense(items, record)] + ([_sparse(items, record, found)] if found else [])
    record, values, bits = min(coded, key=lambda each: each[2])
    return CodedTensor(record, values.runs, values.raw, float(bits), float(bound))


Form = tuple[Record, Values, float]


def _dense(items: NDArray[np.unsignedinteger], record: Record) -> Form:
    if record.kind.width > 1:
        values = code_planes(items.reshape(-1))
    else:
        # the channels are the first or the last axis
        first, last = items.shape[0], items.shape[-1]
        views = [(1, first, items.size // first), (items.size // last, last, 1)]
        every = np.ones(items.size, bool)
        values = code_bytes([(items.reshape(view), every.reshape(view), 1) for view in views], record)
    return replace(record, groups=values.groups, planes=values.planes), values, values.bits


def _sparse(items: NDArray[np.unsignedinteger], record: Record, found: positions.Found) -> Form:
    place = found.positions
    record = replace(record, positions=place)
    view, kept = items.reshape(place.shape).transpose(ORDERS[place.order]), positions.items(found)
    if record.kind.width > 1:
        values = code_planes(view[kept])
    else:
        values = code_bytes([(view, kept, axis) for axis in range(3)], record)
    model = positions.model(found)
    runs = [model.run, (positions.symbols(found), model.frequencies), *values.runs]
    record = replace(record, groups=values.groups, planes=values.planes)
    return record, replace(values, runs=runs), values.bits + model.bits


def width(dtype: str) -> int:
    """Bytes of one item.

    >>> width("float16")
    2
    """
    return KINDS[KIND[dtype]].width


def entropy(counts: NDArray[np.int64]) -> float:
    """Bits of all symbols together, by how often each comes.

    >>> entropy(np.array([2, 0, 2]))
    4.0
    """
    come = counts[counts > 0]
    return float((come * np.log2(come.sum() / come)).sum())


def _background(items: NDArray[np.unsignedinteger]) -> int:
    """What comes most often: 0 in int8 weights, the zero point in uint8 ones."""
    return int(np.bincount(items.reshape(-1), minlength=256).argmax())


def _bound(words: NDArray[np.unsignedinteger]) -> float:
    planes = [words] if words.itemsize == 1 else to_planes(words)
    return sum(entropy(np.bincount(plane)) for plane in planes)
