"""The writer of packed files: what is small stays small, the same input gives the same bytes."""

from __future__ import annotations

import lzma

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from keras_sparse_edge.packed import HEADER, unpack_bytes

from keras_sparse.encoding import tensor
from keras_sparse.packing.container import build, compress, larger, number


@given(st.binary(min_size=1, max_size=2000))
def test_any_bytes_come_back(data):
    assert unpack_bytes(build(data, [])) == data


@given(st.data())
def test_tensors_among_any_bytes_come_back(data):
    parts, tensors = [], []
    for _ in range(data.draw(st.integers(0, 4))):
        parts.append(data.draw(st.binary(max_size=9)))
        shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
        dtype = data.draw(st.sampled_from(["int8", "float16", "float32"]))
        values = np.random.default_rng(data.draw(st.integers(0, 99))).normal(0, 9, shape)
        values = np.where(np.abs(values) < data.draw(st.sampled_from([0, 5, 99])), 0, values).astype(dtype)
        tensors.append(tensor.encode(values.tobytes(), dtype, shape, sum(map(len, parts))))
        parts.append(values.tobytes())
    original = b"".join([*parts, b"end"])
    packed = build(original, tensors)
    assert unpack_bytes(packed) == original
    assert build(original, tensors) == packed


def test_without_tensors_a_file_is_not_larger_than_xz(shared):
    for path in sorted((shared / "models" / "mlperf-tiny").glob("*.tflite")):
        data = path.read_bytes()
        assert len(build(data, [])) <= len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))


def test_what_is_larger():
    data = b"abc" * 1000
    size = len(compress(data))
    assert larger(data, size - 1)
    assert not larger(data, size)
    assert number(300) == b"\xac\x02"
    assert len(build(b"x", [])) == HEADER.size + 1 + 1 + 3 + 5 + 4


def test_records_that_no_reader_takes_are_not_written():
    coded = tensor.encode(bytes(range(1, 65)), "int8", (8, 8), 0)
    with pytest.raises(ValueError, match="frequency 0"):
        bad = [(symbols ^ 1, frequencies) for symbols, frequencies in coded.runs]
        build(bytes(64), [tensor.CodedTensor(coded.record, bad, b"", coded.bits, coded.bound)])
