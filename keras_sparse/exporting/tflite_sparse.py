"""Sparse tensors in `.tflite` files: `SparsityParameters` of the schema, from and to `encoding.csr`."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.encoding.csr import CSR

DENSE, SPARSE = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
VECTORS = {
    "uint8": (schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT),
    "uint16": (schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT),
    "int32": (schema.SparseIndexVector.Int32Vector, schema.Int32VectorT),
}


def parameters(made):
    """The tables of a `CSR`: all axes dense but the last one, and the axes within a block, dense, after them."""
    rank, (rows, cols) = len(made.shape), made.block
    blocked = [(axis, size) for axis, size in ((0, rows), (rank - 1, cols)) if size > 1]
    sizes = [made.shape[0] // rows, *made.shape[1:-1]]
    dimensions = [schema.DimensionMetadataT(DENSE, size) for size in sizes]
    (segments_type, segments), (indices_type, indices) = (
        (VECTORS[array.dtype.name][0], VECTORS[array.dtype.name][1](array)) for array in (made.segments, made.indices)
    )
    dimensions.append(schema.DimensionMetadataT(SPARSE, 0, segments_type, segments, indices_type, indices))
    dimensions += [schema.DimensionMetadataT(DENSE, size) for _, size in blocked]
    # An empty block map is written as one: some readers take a missing one for a damaged file.
    return schema.SparsityParametersT(list(range(rank + len(blocked))), [axis for axis, _ in blocked], dimensions)


def read(tables, shape, dtype, data):
    """The `CSR` of a tensor with such tables.

    Raises:
        ValueError: the tensor is sparse in another way, or its tables do not fit its data.
    """
    rank, order, blocked = len(shape), list(_list(tables.traversalOrder)), list(_list(tables.blockMap))
    dimensions = tables.dimMetadata or []
    kinds = [each.format for each in dimensions]
    expected = [DENSE] * (rank - 1) + [SPARSE] + [DENSE] * len(blocked)
    if order != list(range(rank + len(blocked))) or kinds != expected or not {*blocked} <= {0, rank - 1}:
        raise ValueError(
            f"A tensor of shape {tuple(shape)} is read where its last axis alone is sparse, blocks along the first "
            f"or the last one. Received: order {order}, blocks along {blocked}, formats {kinds}"
        )
    sizes = {axis: each.denseSize for axis, each in zip(blocked, dimensions[rank:], strict=True)}
    block = sizes.get(0, 1), sizes.get(rank - 1, 1)
    if min(block) < 1:
        raise ValueError(f"A block needs at least one value. Received: {block}")
    sparse = dimensions[rank - 1]
    segments, indices = (_values(each) for each in (sparse.arraySegments, sparse.arrayIndices))
    values = np.frombuffer(data, dtype)
    if values.size != len(indices) * block[0] * block[1]:
        raise ValueError(f"{len(indices)} blocks of {block} were expected. Received: {values.size} values")
    return CSR(tuple(shape), block, segments, indices, values.reshape(-1, *block))


def _list(vector):
    return () if vector is None else (int(each) for each in vector)


def _values(vector):
    return np.zeros(0, np.int32) if vector is None or vector.values is None else np.asarray(vector.values)
