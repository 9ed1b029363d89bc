"""Reads `.tflite` files without running them."""

from pathlib import Path

import numpy as np

from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_sparse
from keras_sparse.exporting.stored import Operation, StoredModel, StoredTensor, said
from keras_sparse.exporting.tflite_checked import DAMAGE, DTYPES, kind, unpacked

DENSIFY = "DENSIFY"
NOT_ARITHMETIC = ("QUANTIZE", "DEQUANTIZE", DENSIFY, "RESHAPE", "TRANSPOSE", "PAD", "SQUEEZE", "EXPAND_DIMS")


def read(path):
    """The constants and the operations of the file's main graph. Raises ValueError for what is not a `.tflite` file."""
    return parse(Path(path).read_bytes(), path)


def parse(data, path):
    """The same for the bytes of a file; `path` is what errors call it."""
    try:
        model = unpacked(data)
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error
    try:
        graph = model.subgraphs[0]
        operations = tuple(_operation(each, graph, model) for each in graph.operators)
        densified = {op.inputs[0] for op, read in zip(graph.operators, operations, strict=True) if read.name == DENSIFY}
        tensors = tuple(
            _tensor(each, model, index, index in densified)
            for index, each in enumerate(graph.tensors)
            if _is_constant(each, model)
        )
    except DAMAGE as error:
        raise ValueError(f"{path} is a damaged .tflite file: {said(error)}") from error
    return StoredModel(tensors, operations)


def _is_constant(tensor, model):
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0 and tensor.type in DTYPES


def _tensor(tensor, model, index, unpacked):
    data, dtype = memoryview(model.buffers[tensor.buffer].data), DTYPES[tensor.type]
    shape = tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()
    if tensor.sparsity is None:
        values, sparse = np.frombuffer(data, dtype), None
    else:
        sparse = tflite_sparse.read(tensor.sparsity, shape, dtype, data)
        values = csr.decode(sparse)
    quantization = tensor.quantization
    scales = 0 if quantization is None or quantization.scale is None else len(quantization.scale)
    axis = int(quantization.quantizedDimension) if scales > 1 else None
    if axis is not None and not (0 <= axis < len(shape) and shape[axis] == scales):
        raise ValueError(f"tensor {index} of shape {shape} has {scales} scales along axis {axis}")
    return StoredTensor(
        _text(tensor.name),
        values.reshape(shape),
        np.asarray(quantization.scale, np.float32) if scales else None,
        np.asarray(quantization.zeroPoint) if scales else None,
        axis,
        encoding="dense" if sparse is None else f"{'csr' if unpacked else 'block'} {sparse.block[0]}x{sparse.block[1]}",
        nbytes=values.nbytes if sparse is None else sparse.nbytes,
        index=index,
    )


def _operation(operator, graph, model):
    name = kind(model.operatorCodes[operator.opcodeIndex])
    if not len(operator.outputs):  # it changes a variable, or calls another graph that does
        return Operation(name, "", "other")
    output = graph.tensors[operator.outputs[0]]
    return Operation(name, _text(output.name), DTYPES.get(output.type, "other"))


def _text(name):
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
