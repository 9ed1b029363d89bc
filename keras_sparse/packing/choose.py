"""Which constants of a file are coded as tensors: those that this makes smaller than LZMA does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from keras_sparse_edge.spans import MAX_RECORDS, Record

from keras_sparse.encoding import tensor
from keras_sparse.encoding.tensor import CodedTensor
from keras_sparse.exporting.spans import Span
from keras_sparse.packing.container import BYTES_PER_LANE, compress, larger, records_bytes

LEAST = 64
"""Bytes; what is smaller is not worth a record."""


@dataclass(frozen=True, eq=False)
class Choice:
    """A constant, and its coded form, or `None` where the general compressor keeps it.

    `bits` is what it takes by itself, `bound` what its positions and values do; `None` for what is no weight tensor.
    """

    span: Span
    coded: CodedTensor | None
    bits: float | None = None
    bound: float | None = None


def choose(data: bytes, spans: list[Span]) -> list[Choice]:
    """One choice for each constant, in the file's order; constants that overlap others or are very small are left."""
    parts = _apart(spans)
    with ThreadPoolExecutor() as pool:  # both NumPy and liblzma let others run meanwhile
        found = list(pool.map(lambda span: _choice(span, data[span.start : span.start + span.bytes]), parts))
    seen: dict[bytes, CodedTensor] = {}
    return [_or_copy(choice, data, seen) for choice in found]


def _apart(spans: list[Span]) -> list[Span]:
    """Those that are large enough and begin behind the one before them, the largest where there are too many."""
    parts, end = [], 0
    for span in spans:
        if span.start >= end and span.bytes >= LEAST:
            parts.append(span)
            end = span.start + span.bytes
    largest = sorted(parts, key=lambda span: -span.bytes)[:MAX_RECORDS]
    return sorted(largest, key=lambda span: span.start)


def _choice(span: Span, part: bytes) -> Choice:
    shape = _shape(span)
    if shape is None:
        return Choice(span, _words(span, part, len(compress(part))))
    coded = tensor.encode(part, span.dtype, shape, span.start)
    if larger(part, _taken(coded)):
        return Choice(span, coded, coded.bits, coded.bound)
    general = len(compress(part))
    words = _words(span, part, general)
    return Choice(span, words, 8 * general if words is None else words.bits, coded.bound)


def _taken(coded: CodedTensor) -> float:
    """Bytes in the file, with the record and the part of the lanes."""
    symbols = coded.bits / 8 - len(coded.raw)
    return len(coded.raw) + symbols * (1 + 4 / BYTES_PER_LANE) + len(records_bytes([coded.record])[0])


def _words(span: Span, part: bytes, general: int) -> CodedTensor | None:
    """Four bytes at a time, if that is below what LZMA makes: noise, which is stored as it is, and long runs."""
    if len(part) % 4:
        return None
    coded = tensor.encode(part, "float32", (len(part) // 4,), span.start)
    return coded if _taken(coded) < general else None


def _shape(span: Span) -> tuple[int, ...] | None:
    """The shape, or one axis where the bytes are not as many as it asks for; None for what is not coded as a tensor."""
    if span.dtype not in tensor.KIND:
        return None
    width = tensor.width(span.dtype)
    if span.bytes % width:
        return None
    size = 1
    for n in span.shape:
        size *= n
    return span.shape if span.shape and size * width == span.bytes else (span.bytes // width,)


def _or_copy(choice: Choice, data: bytes, seen: dict[bytes, CodedTensor]) -> Choice:
    """The choice, or a copy of an earlier one of the same bytes."""
    span = choice.span
    if choice.coded is None:
        return choice
    source = seen.setdefault(data[span.start : span.start + span.bytes], choice.coded)
    if source is choice.coded:
        return choice
    of = source.record
    return Choice(span, CodedTensor(Record(span.start, of.items, of.kind, copy=of), [], b"", 0.0, 0.0), 0.0, 0.0)
