"""Packed files with something of everything, small enough to be broken in every byte."""

from __future__ import annotations

import numpy as np
from keras_sparse_edge.packed import HEADER, digest

from keras_sparse.encoding import tensor
from keras_sparse.encoding.tensor import CodedTensor
from keras_sparse.packing.container import build, number


def everything() -> tuple[bytes, bytes]:
    """A packed file and its original: dense, sparse and grouped int8, blocks, uint8, float16, float32, a copy."""
    rng = np.random.default_rng(0)
    dense = np.rint(rng.normal(0, 20, (12, 20)) * np.where(np.arange(12) % 2, 0.1, 1)[:, None]).astype(np.int8)
    sparse = np.where(rng.random((9, 33)) < 0.9, 0, rng.integers(-9, 9, (9, 33))).astype(np.int8)
    blocks = np.repeat(rng.integers(0, 2, (10, 3)), 16, axis=1)[:, :41].astype(np.uint8) * rng.integers(1, 5, (10, 41))
    two_of_four = np.tile([[0, 1, 2, 0], [3, 0, 0, 4]], (8, 4)).astype(np.int8)
    half = np.where(rng.random((6, 7)) < 0.5, 0, rng.normal(size=(6, 7))).astype(np.float16)
    single = rng.normal(size=(5, 9)).astype(np.float32)
    parts, tensors, seen = [], [], []
    for name, values in (
        ("int8", dense),
        ("int8", sparse),
        ("uint8", blocks.astype(np.uint8)),
        ("int8", two_of_four),
        ("float16", half),
        ("float32", single),
    ):
        parts.append(f"<{name}>".encode())
        start = sum(map(len, parts))
        tensors.append(tensor.encode(values.tobytes(), name, values.shape, start))
        parts.append(values.tobytes())
        seen.append(tensors[-1].record)
    parts.append(b"<copy>")
    copy = type(seen[0])(sum(map(len, parts)), seen[1].items, seen[1].kind, copy=seen[1])
    tensors.append(CodedTensor(copy, [], b"", 0.0, 0.0))
    parts.append(sparse.tobytes())
    parts.append(b"the end")
    original = b"".join(parts)
    return build(original, tensors), original


def resealed(data: bytes | bytearray) -> bytes:
    """`data` with the check that it must have: what follows is read, whatever was changed."""
    return bytes(data[:9]) + digest(data[:9], data[25:]) + bytes(data[25:])


def file(size: int, body: bytes, original: bytes = bytes(16)) -> bytes:
    """A packed file of a body of one's own."""
    return resealed(HEADER.pack(b"KSPK\x01", size, bytes(16), original) + body)


def fields(*values: int) -> bytes:
    return b"".join(number(value) for value in values)
