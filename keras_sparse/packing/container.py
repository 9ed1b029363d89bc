"""Writes the bytes of a packed file; `edge/FORMAT.md` is the contract, `edge/` the reader."""

from __future__ import annotations

import lzma
from collections.abc import Sequence

from keras_sparse_edge.packed import HEADER, MAGIC, MAX_LANES, dictionary, digest
from keras_sparse_edge.rans import MAX_STEPS
from keras_sparse_edge.spans import COPY, DENSE, KINDS, SPARSE, Record

from keras_sparse.encoding.rans import encode
from keras_sparse.encoding.tensor import CodedTensor

SMALLEST = 9 | lzma.PRESET_EXTREME
FAST = 1
"""Presets of liblzma."""

FAST_GAIN = 0.8
"""Of one large tensor: what is below this part of what the fast preset makes is taken to be below the smallest."""

PIECE = 2**20
"""Bytes that LZMA is given at a time where it may stop early."""

BYTES_PER_LANE = 1000
"""Coded bytes for each lane: one takes 4 bytes, and more of them are faster."""

PROPERTIES = ((3, 0, 2), (0, 2, 2), (2, 2, 2), (4, 0, 0))
"""lc, lp and pb of LZMA: the usual ones first; the others suit aligned numbers, and text."""

TRY_ALL = 2**21
"""Bytes up to which every one of PROPERTIES is tried; of more, those that do best on so many from the middle too."""


def build(original: bytes, tensors: Sequence[CodedTensor]) -> bytes:
    """A packed file of `original`, whose `tensors` are coded as such; they lie in the file's order, without overlap."""
    records = [tensor.record for tensor in tensors]
    rest, properties = _best(_between(original, records))
    runs = [run for tensor in tensors for run in tensor.runs]
    symbols = sum(codes.size for codes, _ in runs)
    coded = sum(tensor.bits / 8 - len(tensor.raw) for tensor in tensors)
    lanes = min(MAX_LANES, max(1, round(coded / BYTES_PER_LANE), -(-symbols // MAX_STEPS)))
    states, words = encode(runs, lanes)
    raw = b"".join(tensor.raw for tensor in tensors)
    lc, lp, pb = properties
    fields = [number(lc + 9 * (lp + 5 * pb)), number(len(records)), *records_bytes(records)]
    fields += [number(lanes), number(words.size), number(len(raw))]
    body = b"".join([*fields, rest, raw, states.astype("<u4").tobytes(), words.astype("<u2").tobytes()])
    header = HEADER.pack(MAGIC, len(original), bytes(16), digest(original))
    check = digest(header[:9], header[25:], body)
    return header[:9] + check + header[25:] + body


def compress(
    data: bytes | memoryview, properties: tuple[int, int, int] = PROPERTIES[0], preset: int = SMALLEST
) -> bytes:
    """Raw LZMA2, as small as liblzma makes it."""
    return lzma.compress(data, lzma.FORMAT_RAW, filters=_filters(len(data), properties, preset))


def exceeds(data: bytes | memoryview, size: float) -> bool:
    """Whether LZMA makes at least `size` bytes of `data`: it is really run, and stopped once it has made them.

    Of small data that is not asked: `build` then tries more than one way.
    """
    if len(data) <= TRY_ALL:
        return False
    compressor = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=_filters(len(data), PROPERTIES[0], SMALLEST))
    view, made = memoryview(data), 0
    for start in range(0, len(view), PIECE):
        made += len(compressor.compress(view[start : start + PIECE]))
        if made >= size:
            return True
    return made + len(compressor.flush()) >= size


def _filters(size: int, properties: tuple[int, int, int], preset: int) -> list[dict[str, int]]:
    settings = dict(zip(("lc", "lp", "pb"), properties, strict=True))
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": dictionary(size), **settings}]


def number(value: int) -> bytes:
    """Unsigned LEB128.

    >>> number(257).hex()
    '8102'
    """
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def records_bytes(records: Sequence[Record]) -> list[bytes]:
    """What the file says of each record, as `keras_sparse_edge.spans.take_records` reads it."""
    out = []
    end = 0
    for i, record in enumerate(records):
        fields = [record.start - end]
        if record.copy is not None:
            fields += [COPY, i - next(k for k, other in enumerate(records) if other.start == record.copy.start)]
        else:
            place = record.positions
            fields += [DENSE if place is None else SPARSE, KINDS.index(record.kind), record.items]
            fields += [record.background] if record.kind.width == 1 else []
            if place is not None:
                fields += [*place.shape[:2], place.order, place.rows, place.columns, place.unit, place.most]
            groups = record.groups
            if groups is not None:
                fields += [groups.count, *(groups.shape[:2] if place is None else ()), groups.axis]
            elif record.kind.width == 1:
                fields += [1]
            for plane in record.planes:
                fields += [plane.spacing, plane.low, plane.high] if plane.spacing else [0]
        out.append(b"".join(number(field) for field in fields))
        end = record.start + record.bytes
    return out


def _best(rest: bytes) -> tuple[bytes, tuple[int, int, int]]:
    tried: Sequence[tuple[int, int, int]] = PROPERTIES
    if len(rest) > TRY_ALL:
        middle = (len(rest) - TRY_ALL) // 2
        _, best = _best(rest[middle : middle + TRY_ALL])
        tried = PROPERTIES[:1] if best == PROPERTIES[0] else (PROPERTIES[0], best)
    return min(((compress(rest, each), each) for each in tried), key=lambda pair: len(pair[0]))


def _between(original: bytes, records: Sequence[Record]) -> bytes:
    starts = [0, *(record.start + record.bytes for record in records)]
    ends = [*(record.start for record in records), len(original)]
    return b"".join(original[start:end] for start, end in zip(starts, ends, strict=True))


def larger(data: bytes | memoryview, size: float) -> bool:
    """Whether LZMA makes more than `size` bytes of a tensor; of a large one quickly, where that seems clear."""
    if len(data) > TRY_ALL and size < FAST_GAIN * len(compress(data, preset=FAST)):
        return True
    return size < len(compress(data))
