"""The packed file: its exact bytes, and everything that the reader must refuse without harm."""

from __future__ import annotations

import lzma
import os
import random
import struct
import time
import tracemalloc
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from keras_sparse_edge import PackedError, read_packed
from keras_sparse_edge.packed import HEADER, MAX_SIZE, SLACK, digest, unpack_bytes
from keras_sparse_edge.spans import KINDS, Groups, Plane, Positions, Record
from keras_sparse_edge.weights import label_frequencies, mask_table

from keras_sparse.encoding import tensor
from keras_sparse.encoding.histogram import fit_groups, fit_values
from keras_sparse.encoding.tensor import CodedTensor
from keras_sparse.packing.container import build, compress

from .samples import everything, fields, file, resealed

MEGABYTES = 8 * 2**20
"""What the reader may hold beside four times the declared size."""


def test_exact_bytes() -> None:
    """Eight int8 weights with two non-zeros, one in four, between four bytes of text: FORMAT.md by hand."""
    original = b"ab" + bytes([0, 0, 0, 5, 5, 0, 0, 0]) + b"cd"
    packed = build(original, [tensor.encode(original[2:10], "int8", (2, 4), 2)])
    assert packed[:9] == b"KSPK\x01" + struct.pack("<L", 12)
    assert packed[9:25] == digest(packed[:9], packed[25:])
    assert packed[25:41] == digest(original)
    assert packed[41:] == bytes.fromhex(
        "5d 01"  # lc 3, lp 0, pb 2; one record:
        "02 01 00 08 00"  # after 2 bytes, sparse, int8, 8 items, background 0
        "01 02 00 01 01 04 01"  # as (1, 2, 4) in that order, blocks of 1 x 1, units of 4 flags, at most 1 of them set
        "01 01 8501 8501"  # one group, spacing 1, symbols 133 to 133
        "01 01 00"  # one lane, one word, no raw bytes
        "01 0003 61626364 00"  # LZMA2: a stored chunk of 4 bytes, the end
        "13ff1924 993e"  # the state and the word: levels 0 and 60, masks 4 and 1 of 0 to 4, level 60
    )
    assert unpack_bytes(packed) == original


def body_of(packed: bytes) -> bytes:
    return packed[HEADER.size :]


@pytest.fixture(scope="module")
def sample() -> tuple[bytes, bytes]:
    return everything()


def test_everything_comes_back(sample: tuple[bytes, bytes], tmp_path: Path) -> None:
    packed, original = sample
    assert unpack_bytes(packed) == original
    (tmp_path / "x.pack").write_bytes(packed)
    assert read_packed(tmp_path / "x.pack") == original


def test_every_flipped_bit_of_every_byte_is_detected(sample: tuple[bytes, bytes]) -> None:
    packed, _ = sample
    for place in range(len(packed)):
        for flip in (1, 0x80, 0xFF):
            with pytest.raises(PackedError):
                unpack_bytes(packed[:place] + bytes([packed[place] ^ flip]) + packed[place + 1 :])


def test_every_truncation_and_what_is_appended_is_detected(sample: tuple[bytes, bytes], tmp_path: Path) -> None:
    packed, _ = sample
    for length in range(len(packed)):
        with pytest.raises(PackedError):
            unpack_bytes(packed[:length])
    path = tmp_path / "x.pack"
    for data in (packed + b"\0", packed[:-1], packed[:40], b"", packed + packed):
        path.write_bytes(data)
        with pytest.raises(PackedError):
            read_packed(path)


def test_damage_under_a_right_hash_is_refused_or_leaves_the_original(sample: tuple[bytes, bytes]) -> None:
    """The reader meets every byte changed, with a check that says it is right."""
    packed, original = sample
    for place in range(25, len(packed)):
        flip = (1, 0x7F, 0xFF)[place % 3]
        try:
            data = unpack_bytes(resealed(packed[:place] + bytes([packed[place] ^ flip]) + packed[place + 1 :]))
        except PackedError:
            continue
        assert data == original


def test_cuts_and_mixtures_under_a_right_hash(sample: tuple[bytes, bytes]) -> None:
    packed, original = sample
    dice = random.Random(0)
    for _ in range(400):
        data = bytearray(packed)
        for _ in range(dice.randrange(1, 6)):
            place = dice.randrange(HEADER.size, len(data))
            kind = dice.randrange(4)
            if kind == 0:
                data[place] = dice.randrange(256)
            elif kind == 1:
                del data[place : place + dice.randrange(1, 20)]
            elif kind == 2:
                data[place:place] = dice.randbytes(dice.randrange(1, 20))
            else:
                data[place : place + 8] = data[(other := dice.randrange(HEADER.size, place + 1)) : other + 8]
            if len(data) <= HEADER.size:
                break
        try:
            assert unpack_bytes(resealed(data)) == original
        except PackedError:
            continue


@settings(max_examples=300)
@given(st.binary(max_size=300), st.integers(1, 5000))
def test_any_body_is_refused(body: bytes, size: int) -> None:
    with pytest.raises(PackedError):
        unpack_bytes(file(size, body))


REST = compress(b"")
ONE = fields(93, 1)  # LZMA's properties, one record


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (fields(225), "properties of LZMA must be in"),
        (fields(4 + 9 * 2), "lc . lp of LZMA must be at most 4"),
        (b"\x80\x00", "no more bytes than it needs"),
        (b"\xff" * 6, "at most 5 bytes"),
        (fields(93, 4097), "number of records must be in"),
        (ONE + fields(0, 2, 1), "must follow the record that it equals"),
        (ONE + fields(0, 3), "form must be in"),
        (ONE + fields(0, 0, 4), "kind must be in"),
        (ONE + fields(0, 0, 0, 101), "items must be in"),
        (ONE + fields(60, 0, 0, 50, 0, 1, 1, 0, 9), "record 0 must end within the 100 bytes"),
        (ONE + fields(0, 0, 0, 50, 0, 17), "number of groups must be in"),
        (ONE + fields(0, 0, 0, 50, 0, 2, 3, 1), "axes of 50 items must divide them"),
        (ONE + fields(0, 0, 0, 50, 0, 1, 0), "spacing must be in"),
        (ONE + fields(0, 0, 0, 50, 0, 1, 3, 0, 9), "spacing must be 0 or one of"),
        (ONE + fields(0, 0, 0, 50, 0, 1, 1, 9, 8), "highest symbol must be in"),
        (ONE + fields(0, 1, 0, 50, 0, 1, 1, 0, 1, 1, 16, 8), "at most 256 masks"),
        (ONE + fields(0, 1, 0, 50, 0, 1, 1, 6), "order must be in"),
        (fields(93, 0, 0), "lanes must be in"),
        (fields(93, 0, 1, 5, 0), "sections must fit"),
        (fields(93, 0, 1, 0, 0) + compress(bytes(100)) + bytes(4), "state of a lane must be at least"),
        (fields(93, 0, 1, 0, 0) + compress(bytes(99)) + b"\0\0\1\0", "between the tensors must be 100"),
        (fields(93, 0, 1, 0, 0) + compress(bytes(101)) + b"\0\0\1\0", "must be 100; got more"),
        (fields(93, 0, 1, 0, 0) + compress(bytes(100))[:-1] + b"\0\0\1\0", "too few"),
        (fields(93, 0, 1, 0, 0) + compress(bytes(100)) + b"x\0\0\1\0", "end with their section"),
        (fields(93, 0, 1, 0, 0) + b"\xff" * 9 + b"\0\0\1\0", "are no LZMA2"),
        (fields(93, 0, 1, 1, 0) + compress(bytes(100)) + b"\0\0\1\0xx", "must end with their words"),
        (fields(93, 0, 1, 0, 1) + compress(bytes(100)) + b"r\0\0\1\0", "raw section must end"),
        (fields(93, 0, 1, 0, 0) + compress(bytes(100)) + b"\0\0\1\0", "hash must be the one in the header"),
        (ONE + fields(0, 0, 0, 100, 0, 1, 1, 0, 9, 1, 0, 0) + REST + b"\0\0\1\0", "words must suffice"),
        (ONE + fields(0, 0, 2, 50, 0, 0, 1, 0, 99) + REST + bytes(99) + b"\0\0\1\0", "bytes of every raw plane"),
    ],
)
def test_broken_rules_are_named(body: bytes, message: str) -> None:
    with pytest.raises(PackedError, match=message):
        unpack_bytes(file(100, body))


def test_sizes_are_looked_at_first(tmp_path: Path, sample: tuple[bytes, bytes]) -> None:
    packed, original = sample
    for size in (0, MAX_SIZE + 1, 2**32 - 1):
        with pytest.raises(PackedError, match="original must have 1 to"):
            unpack_bytes(resealed(packed[:5] + struct.pack("<L", size) + packed[9:]))
    with pytest.raises(PackedError, match=f"1 to {len(original) - 1} bytes"):
        unpack_bytes(packed, max_size=len(original) - 1)
    with pytest.raises(PackedError, match="not a packed file of version 1"):
        unpack_bytes(b"KSPK\x02" + packed[5:])
    with pytest.raises(PackedError, match=f"at most {len(original) + SLACK}"):
        unpack_bytes(packed + bytes(SLACK + len(original)))
    with pytest.raises(PackedError, match="regular file"):
        read_packed(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(PackedError, match="regular file"):
            read_packed(tmp_path / "pipe")


def peak(data: bytes) -> int:
    tracemalloc.start()
    try:
        unpack_bytes(data)
    except PackedError:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


SIZE = 12 * 10**6
SLOW = [pytest.param(what, marks=pytest.mark.slow) for what in ("sparse", "half", "rest", "noise")]


@pytest.mark.parametrize("what", ["dense", "float32", "sparse float32", *SLOW])
def test_memory_is_at_most_four_times_the_size(what: str) -> None:
    """And some megabytes. The file itself is held by the caller here, and counts for as much as it has."""
    rng = np.random.default_rng(0)
    small = rng.integers(-50, 50, SIZE // 8, dtype=np.int8)
    values = np.tile(small, 8).reshape(4000, -1)
    tensors = []
    if what in ("sparse", "half"):
        values = np.where(np.tile(rng.random(SIZE // 8) < (0.9 if what == "sparse" else 0.5), 8), 0, values.ravel())
        values = values.astype(np.int8).reshape(4000, -1)
    elif "float32" in what:
        values = rng.normal(size=(4000, SIZE // 16000)).astype(np.float32)
        if what != "float32":
            values[rng.random(values.shape) < 0.5] = 0
    original = values.tobytes()
    if what == "noise":
        original = rng.bytes(SIZE)
    if what not in ("rest", "noise"):
        tensors = [tensor.encode(original, values.dtype.name, values.shape, 0)]
    data = build(original, tensors)
    assert len(data) + peak(data) < 4 * SIZE + MEGABYTES


@pytest.mark.parametrize(
    ("shape", "order", "block", "unit", "groups"),
    [
        ((1, 2**21, 2), 0, (255, 2), 32, 1),  # units of 32 flags where a row has one block
        ((2**22, 1, 1), 0, (1, 1), 32, 1),  # a matrix and a unit for every item
        ((2**11, 1, 2**11), 3, (1, 1), 4, 16),  # groups of rows, columns first in the file
        ((2, 2, 2**20), 1, (1, 1), 8, 16),  # units of 8 flags where a row has two, groups of rows
    ],
)
def test_no_form_takes_more_memory_or_time_than_its_size_allows(
    shape: tuple[int, int, int], order: int, block: tuple[int, int], unit: int, groups: int
) -> None:
    """Forms that no writer would choose, with every item flagged."""
    size = 2**22
    place = Positions(shape, order, *block, unit, 4 if unit == 4 else 1)
    flags = mask_table(place)
    masks = np.full(np.prod(place.symbols), len(flags) - 1 if unit == 4 else 1, np.uint8)
    counts = np.bincount(flags[masks].sum(1), minlength=place.most + 1)
    sizes = np.bincount(flags.sum(1))
    model = fit_groups(counts, sizes)
    channels = Groups(groups, place.view, 1) if groups > 1 else None
    runs = [model.run, (masks, model.frequencies)]
    if channels is not None:
        runs.append(
            (np.arange(channels.channels, dtype=np.uint32).astype(np.uint8) % groups, label_frequencies(groups))
        )
    flagged = size if unit != 8 else size // 2
    for _ in range(groups):
        values = np.random.default_rng(0).integers(1, 3, flagged // groups, dtype=np.uint8)
        (own,) = fit_values(np.bincount(values, minlength=256)[None], None, None)
        runs += [own.run, (values, own.frequencies)]
    record = Record(0, size, KINDS[1], 0, place, channels, (Plane(own.spacing, own.low, own.high),))
    data = build(bytes(size), [CodedTensor(record, runs, b"", 8.0 * size, 0.0)])
    start = time.perf_counter()
    with pytest.raises(PackedError, match="hash must be the one in the header"):  # all the rest was done
        unpack_bytes(data)
    assert time.perf_counter() - start < 30
    assert len(data) + peak(data) < 4 * size + MEGABYTES


def test_lzma_is_raw_and_of_the_standard_library() -> None:
    packed = build(b"text " * 50, [])
    body = body_of(packed)
    lc, lp, pb = body[0] % 9, body[0] // 9 % 5, body[0] // 45
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 4096, "lc": lc, "lp": lp, "pb": pb}]
    assert lzma.decompress(body[5:-4], lzma.FORMAT_RAW, filters=filters) == b"text " * 50
