"""Reads `.tflite` files without running them."""

import struct
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_sparse
from keras_sparse.exporting.stored import Operation, StoredModel, StoredTensor

IDENTIFIER = b"TFL3"
DTYPES = {
    code: name.lower()
    for name, code in vars(schema.TensorType).items()
    if name.lower() in ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
}
OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
DAMAGE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, MemoryError, struct.error)
"""What reading a flatbuffer raises where an offset or a length in it is wrong."""

NOT_ARITHMETIC = ("QUANTIZE", "DEQUANTIZE", "DENSIFY", "RESHAPE", "TRANSPOSE", "PAD", "SQUEEZE", "EXPAND_DIMS")


def read(path):
    """The constants and the operations of the file's main graph. Raises ValueError for what is not a `.tflite` file."""
    return parse(Path(path).read_bytes(), path)


def parse(data, path):
    """The same for the bytes of a file; `path` is what errors call it."""
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"{path} is not a .tflite file: its identifier is {data[4:8]!r}, {IDENTIFIER!r} was expected")
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        graph = model.subgraphs[0]
        operations = tuple(_operation(each, graph, model) for each in graph.operators)
        unpacked = {
            op.inputs[0] for op, read in zip(graph.operators, operations, strict=True) if read.name == "DENSIFY"
        }
        tensors = tuple(
            _tensor(each, model, index, index in unpacked)
            for index, each in enumerate(graph.tensors)
            if _is_constant(each, model)
        )
    except DAMAGE as error:
        raise ValueError(f"{path} is a damaged .tflite file: {type(error).__name__}: {error}") from error
    return StoredModel(tensors, operations)


def _is_constant(tensor, model):
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0 and tensor.type in DTYPES


def _tensor(tensor, model, index, unpacked):
    data, dtype = bytes(model.buffers[tensor.buffer].data), DTYPES[tensor.type]
    shape = tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()
    if tensor.sparsity is None:
        values, sparse = np.frombuffer(data, dtype), None
    else:
        sparse = tflite_sparse.read(tensor.sparsity, shape, dtype, data)
        values = csr.decode(sparse)
    quantization = tensor.quantization
    quantized = quantization is not None and quantization.scale is not None and len(quantization.scale) > 0
    return StoredTensor(
        _text(tensor.name),
        values.reshape(shape),
        np.asarray(quantization.scale, np.float32) if quantized else None,
        np.asarray(quantization.zeroPoint) if quantized else None,
        int(quantization.quantizedDimension) if quantized and len(quantization.scale) > 1 else None,
        encoding="dense" if sparse is None else f"{'csr' if unpacked else 'block'} {sparse.block[0]}x{sparse.block[1]}",
        nbytes=values.nbytes if sparse is None else sparse.nbytes,
        index=index,
    )


def _operation(operator, graph, model):
    code = model.operatorCodes[operator.opcodeIndex]
    output = graph.tensors[operator.outputs[0]]
    # Files written before the code had 32 bits keep it in an older field.
    name = OPERATORS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return Operation(name, _text(output.name), DTYPES.get(output.type, "other"))


def _text(name):
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
