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
EXACT = (
    "1000000000000a0010000c00080004000a0000000c0000006c0000006c00000002000000580000001400000010001400"
    "1300000012000c000b0004001000000010000000000000031c00000000000301f2ffffff040000000100000001000600"
    "080004000600000004000000030000000001010008000800000004000800000002000000000000000200000000000000"
    "01000000"
)
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


def test_the_bytes_of_the_tables() -> None:
    builder = Builder(64)
    matrix = np.int8([[0, 3], [0, 0]])
    builder.Finish(tflite_sparse.parameters(csr.encode(matrix)).Pack(builder))
    assert bytes(builder.Output()).hex() == EXACT


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
