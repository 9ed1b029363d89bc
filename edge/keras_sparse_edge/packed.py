"""Packed model files: read and checked whole, then unpacked to the bytes that they were made of (FORMAT.md)."""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.fields import Fields
from keras_sparse_edge.rans import Decoder
from keras_sparse_edge.spans import Record, take_records
from keras_sparse_edge.weights import Raw, take_weights

MAGIC = b"KSPK\x01"  # the last byte is the version of the format
HEADER = struct.Struct("<5sL16s16s")
MAX_SIZE = 2**31 - 1  # bytes of the original; what .tflite and .onnx files can have
SLACK = 2**16  # bytes that a packed file may have more than its original
MAX_LANES = 2**14
_CHUNK = 2**16


def read_packed(path: str | os.PathLike[str], max_size: int = MAX_SIZE) -> bytearray:
    """The original of the packed file at `path`, for example for `Interpreter(model_content=bytes(...))`.

    At most four times the declared size is held in memory, and some megabytes. Raises PackedError if the file breaks
    FORMAT.md or declares more than `max_size` bytes, OSError if it cannot be read.
    """
    path = Path(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # looked at before opening: to open a pipe would wait for ever
        raise PackedError("a packed file must be a regular file")
    with open(path, "rb") as file:
        head = file.read(HEADER.size)
        size = declared_size(head, max_size)
        data = head + file.read(size + SLACK - len(head) + 1)
    return unpack_bytes(data, max_size)


def declared_size(head: bytes, max_size: int = MAX_SIZE) -> int:
    """Bytes of the original, from the first HEADER.size bytes of a packed file."""
    if len(head) < HEADER.size:
        raise PackedError(f"a packed file has at least {HEADER.size} bytes; got {len(head)}")
    magic, size, _, _ = HEADER.unpack(head[: HEADER.size])
    if magic != MAGIC:
        raise PackedError(f"not a packed file of version 1: it must begin with {MAGIC!r}; got {magic!r}")
    if not 1 <= size <= max_size:
        raise PackedError(f"the original must have 1 to {max_size} bytes; got {size}")
    return size


def dictionary(size: int) -> int:
    """Bytes of LZMA2's dictionary for `size` bytes: not more, for the reader has to hold it."""
    return min(max(size, 2**12), 2**26)


def digest(*parts: bytes | bytearray | memoryview) -> bytes:
    """BLAKE2b of the parts, one after the other, in 16 bytes."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part)
    return state.digest()


def unpack_bytes(data: bytes, max_size: int = MAX_SIZE) -> bytearray:
    """The original of the packed file `data`; PackedError if it breaks FORMAT.md in any place."""
    size = declared_size(data, max_size)
    if len(data) > size + SLACK:
        raise PackedError(f"a packed file of {size} bytes has at most {size + SLACK}; got {len(data)}")
    _, _, check, original = HEADER.unpack(data[: HEADER.size])
    view = memoryview(data)
    if digest(view[:9], view[25:]) != check:
        raise PackedError("the file is damaged or cut: its hash must be the one in its header")
    try:
        out = _unpack(view[HEADER.size :], size)
    except MemoryError as error:
        raise PackedError(f"the original's {size} bytes do not fit into memory") from error
    if digest(out) != original:
        raise PackedError("the original's hash must be the one in the header; got another")
    return out


def _unpack(body: memoryview, size: int) -> bytearray:
    fields = Fields(body)
    filters = _filters(fields)
    records = take_records(fields, size)
    lanes = fields.take("lanes", 1, MAX_LANES)
    words = fields.take("words", 0, len(body))
    raw = fields.take("raw bytes", 0, len(body))
    coded = len(body) - fields.position - raw - 4 * lanes - 2 * words
    if coded < 0:
        raise PackedError(f"the sections must fit into the file; got {-coded} bytes too many")
    rest, planes, states, stream = _cut(body[fields.position :], coded, raw, 4 * lanes, 2 * words)
    out = bytearray(size)
    target = np.frombuffer(out, np.uint8)
    _place(target, records, _inflate(rest, filters, size - sum(record.bytes for record in records)))
    coder = Decoder(np.frombuffer(states, "<u4"), np.frombuffer(stream, "<u2"))
    stored = Raw(planes)
    for record in records:
        span = target[record.start : record.start + record.bytes]
        if record.copy is not None:
            span[:] = target[record.copy.start : record.copy.start + record.bytes]
        else:
            take_weights(record, coder, stored, span)
    coder.finish()
    stored.finish()
    return out


def _filters(fields: Fields) -> dict[str, int]:
    """lc, lp and pb of LZMA, as one number."""
    packed = fields.take("the properties of LZMA", 0, 224)
    properties = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45}
    if properties["lc"] + properties["lp"] > 4:
        raise PackedError(f"lc + lp of LZMA must be at most 4; got {properties}")
    return properties


def _cut(body: memoryview, *sizes: int) -> list[memoryview]:
    ends = np.cumsum(sizes).tolist()
    return [body[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _inflate(coded: memoryview, properties: dict[str, int], size: int) -> Iterator[bytes]:
    """`size` bytes out of raw LZMA2, some at a time; PackedError if there are fewer, more, or other bytes behind."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": dictionary(size), **properties}]
    inflater = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    given, left = 0, size
    try:
        while not inflater.eof:
            chunk = b""
            if inflater.needs_input:
                chunk = bytes(coded[given : given + _CHUNK])
                given += len(chunk)
                if not chunk:
                    raise PackedError("the bytes between the tensors must be whole; got too few")
            data = inflater.decompress(chunk, max_length=_CHUNK)
            left -= len(data)
            if left < 0:
                raise PackedError(f"the bytes between the tensors must be {size}; got more")
            yield data
    except lzma.LZMAError as error:
        raise PackedError(f"the bytes between the tensors are no LZMA2: {error}") from error
    if left or inflater.unused_data or given < len(coded):
        raise PackedError(f"the bytes between the tensors must be {size}, and end with their section")


def _place(target: np.ndarray, records: list[Record], rest: Iterator[bytes]) -> None:
    """Puts the rest where no record is."""
    starts = [0, *(record.start + record.bytes for record in records)]
    ends = [*(record.start for record in records), target.size]
    gaps = iter([(start, end) for start, end in zip(starts, ends, strict=True) if start < end])
    start = end = 0
    for data in rest:
        part = np.frombuffer(data, np.uint8)
        while part.size:
            if start == end:
                start, end = next(gaps)
            step = min(part.size, end - start)
            target[start : start + step] = part[:step]
            start += step
            part = part[step:]
