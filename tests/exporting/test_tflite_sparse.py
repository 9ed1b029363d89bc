"""The tables of sparse tensors as the schema has them."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_sparse

DENSE, SPARSE = 0, 1
# fmt: off
EXACT = {
    "hybrid and static int8 1x16": (
        "int8",
        (1, 16),
        (2, 32),
        "0102030405060708090a0b0c0d0e0f10",
        "1000000000000a0010000c00080004000a0000000c000000780000007c00000003000000640000002000000004000000"
        "b0ffffff10000000100014001300000012000c000b0004001000000010000000000000031c00000000000301f2ffffff"
        "040000000100000001000600080004000600000004000000030000000000010008000800000004000800000002000000"
        "010000000100000003000000000000000100000002000000",
    ),
    "float32 1x4": (
        "float32",
        (1, 4),
        (2, 8),
        "0000803f000000400000404000008040",
        "1000000000000a0010000c00080004000a0000000c000000780000007c00000003000000640000002000000004000000"
        "b0ffffff04000000100014001300000012000c000b0004001000000010000000000000031c00000000000301f2ffffff"
        "040000000100000001000600080004000600000004000000030000000000010008000800000004000800000002000000"
        "010000000100000003000000000000000100000002000000",
    ),
    "int8 convolution": (
        "int8",
        (1, 1),
        (2, 1, 1, 3),
        "01",
        "1000000000000a0010000c00080004000a0000000c000000840000008400000004000000700000005c00000050000000"
        "14000000100014001300000012000c000b0004001000000010000000000000031c00000000000301f2ffffff04000000"
        "01000000020006000800040006000000040000000300000000000100f0ffffff01000000f8ffffff0100000008000800"
        "000004000800000002000000000000000400000000000000010000000200000003000000",
    ),
    "int8 convolution 4x1": (
        "int8",
        (4, 1),
        (4, 1, 1, 2),
        "01020304",
        "1000000000000a0010000c00080004000a0000000c0000009000000094000000050000007c000000680000005c000000"
        "2000000004000000a0ffffff04000000100014001300000012000c000b0004001000000010000000000000031c000000"
        "00000301f2ffffff0400000001000000010006000800040006000000040000000200000000010000f0ffffff01000000"
        "f8ffffff0100000008000800000004000800000001000000010000000000000005000000000000000100000002000000"
        "0300000004000000",
    ),
    "float16 convolution": (
        "float16",
        (1, 1),
        (2, 1, 1, 3),
        "003c",
        "1000000000000a0010000c00080004000a0000000c000000840000008400000004000000700000005c00000050000000"
        "14000000100014001300000012000c000b0004001000000010000000000000031c00000000000301f2ffffff04000000"
        "01000000020006000800040006000000040000000300000000000100f0ffffff01000000f8ffffff0100000008000800"
        "000004000800000002000000000000000400000000000000010000000200000003000000",
    ),
}
# fmt: on
SHAPES = [((6, 32), (1, 16)), ((6, 32), (1, 4)), ((6, 32), (1, 1)), ((4, 3, 2, 8), (4, 1)), ((4, 1, 1, 8), (4, 4))]


def values(shape: tuple[int, ...], dtype: type = np.int8) -> np.ndarray:
    generator = np.random.default_rng(0)
    return (generator.integers(-9, 9, shape) * (generator.random(shape) < 0.2)).astype(dtype)


def packed(tables: schema.SparsityParametersT) -> schema.SparsityParametersT:
    """As it comes out of a file."""
    builder = Builder(64)
    builder.Finish(tables.Pack(builder))
    return schema.SparsityParametersT.InitFromPackedBuf(bytes(builder.Output()))


def test_blocks_of_sixteen_inputs_literally() -> None:
    matrix = np.zeros((2, 32), np.int8)
    matrix[1, 16:] = 1
    tables = tflite_sparse.parameters(csr.encode(matrix, (1, 16)))
    assert (list(tables.traversalOrder), list(tables.blockMap)) == ([0, 1, 2], [1])
    rows, columns, block = tables.dimMetadata
    assert (rows.format, rows.denseSize) == (DENSE, 2)
    assert (columns.format, columns.denseSize) == (SPARSE, 0)
    assert (list(columns.arraySegments.values), list(columns.arrayIndices.values)) == ([0, 0, 1], [1])
    assert columns.arraySegmentsType == columns.arrayIndicesType == schema.SparseIndexVector.Uint8Vector
    assert (block.format, block.denseSize) == (DENSE, 16)


def test_a_convolution_is_sparse_along_its_inputs() -> None:
    tables = tflite_sparse.parameters(csr.encode(values((4, 3, 2, 8))))
    assert list(tables.traversalOrder) == [0, 1, 2, 3]
    assert [each.format for each in tables.dimMetadata] == [DENSE, DENSE, DENSE, SPARSE]
    # An empty block map is there, and not left out.
    assert tables.blockMap == [] and packed(tables).blockMap is not None


@pytest.mark.parametrize("name", EXACT)
def test_the_bytes_of_every_encoding(name: str) -> None:
    dtype, block, shape, data, tables = EXACT[name]
    values = np.zeros(shape, dtype)
    if block[0] == 1:
        values.reshape(-1)[-block[1] :] = np.arange(1, block[1] + 1)
    else:
        values[:, 0, 0, -1] = np.arange(1, block[0] + 1)
    made, builder = csr.encode(values, block), Builder(64)
    builder.Finish(tflite_sparse.parameters(made).Pack(builder))
    assert (made.data.tobytes().hex(), bytes(builder.Output()).hex()) == (data, tables)


@pytest.mark.parametrize(("shape", "block"), SHAPES)
@pytest.mark.parametrize("dtype", [np.int8, np.float16, np.float32])
def test_what_is_written_is_read(shape: tuple[int, ...], block: tuple[int, int], dtype: type) -> None:
    made = csr.encode(values(shape, dtype), block)
    again = tflite_sparse.read(packed(tflite_sparse.parameters(made)), shape, dtype, made.data.tobytes())
    assert again.block == block
    np.testing.assert_array_equal(csr.decode(again), values(shape, dtype))


@given(st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_matrix(rows: int, blocks: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = (generator.integers(1, 9, (rows, blocks * 16)) * (generator.random((rows, blocks * 16)) < 0.05)).astype(
        "int8"
    )
    matrix[0, 0] = 1
    made = csr.encode(matrix, (1, 16))
    again = tflite_sparse.read(packed(tflite_sparse.parameters(made)), matrix.shape, np.int8, made.data.tobytes())
    np.testing.assert_array_equal(csr.decode(again), matrix)


def test_tables_of_another_kind_are_refused() -> None:
    tables = tflite_sparse.parameters(csr.encode(values((4, 8))))
    tables.traversalOrder = [1, 0]
    with pytest.raises(ValueError, match="last axis alone"):
        tflite_sparse.read(tables, (4, 8), np.int8, b"")


def test_data_that_does_not_fit_is_refused() -> None:
    made = csr.encode(values((4, 8)))
    with pytest.raises(ValueError, match="blocks of"):
        tflite_sparse.read(tflite_sparse.parameters(made), (4, 8), np.int8, made.data.tobytes() + b"\0")
