"""Reads `.onnx` files without running them."""

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from keras_sparse.exporting.stored import Operation, StoredModel, StoredTensor

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Pad", "Identity")
INTEGER = ("ConvInteger", "MatMulInteger")
NOT_ARITHMETIC = (*CONVERSIONS, *MOVES)


def load(path):
    """The `ModelProto` of a file. Raises ValueError for what is not an `.onnx` file."""
    try:
        model = onnx.load(str(path))
    except DecodeError as error:
        raise ValueError(f"{path} is not an .onnx file, or is damaged: {error}") from error
    if not model.graph.node:
        raise ValueError(f"{path} is not an .onnx file: its graph is empty")
    return model


def read(path):
    """The constants and the operations of a file. Raises ValueError for what is not an `.onnx` file."""
    return stored(load(path))


def stored(model):
    """The constants and the operations of a `ModelProto`."""
    graph = model.graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    quantization = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    integer = {node.input[1]: node for node in graph.node if node.op_type in INTEGER}
    tensors = tuple(
        _integer_tensor(name, value, integer[name], graph, values)
        if name in integer
        else _tensor(name, value, quantization.get(name), values)
        for name, value in values.items()
    )
    opset = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    return StoredModel(tensors, tuple(_operations(graph)), opset)


def _tensor(name, values, node, constants):
    inputs = 0 if values.ndim == 2 else 1  # a matrix is (inputs, outputs), a convolution's kernel OIHW
    if node is None:
        return StoredTensor(name, values, input_axis=inputs)
    scale = np.atleast_1d(constants[node.input[1]])
    zero_point = np.atleast_1d(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(scale.shape, np.int8)
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    return StoredTensor(name, values, scale, zero_point, axis if scale.size > 1 else None, inputs)


def _integer_tensor(name, values, node, graph, constants):
    """Weights of a ConvInteger or MatMulInteger: their scale multiplies that of the input, after the cast to float."""
    products = {each.input[0]: each.input[1] for each in graph.node if each.op_type == "Mul"}
    input_scale = next((each.output[1] for each in graph.node if node.input[0] in each.output[:1]), None)
    scale = constants.get(products.get(input_scale)) if input_scale else None
    zero_point = constants[node.input[3]] if len(node.input) > 3 else np.zeros(1, values.dtype)
    axis, inputs = (0, 1) if node.op_type == "ConvInteger" else (values.ndim - 1, 0)
    return StoredTensor(name, values, scale, zero_point, axis, inputs)


def _operations(graph):
    """Operations that are computed in int8 are those whose inputs come from and whose outputs go to Q/DQ pairs."""
    producer = {name: node for node in graph.node for name in node.output}
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    types = {each.name: each.type.tensor_type.elem_type for each in (*graph.value_info, *graph.output)}
    for node in graph.node:
        kind = onnx.TensorProto.DataType.Name(types.get(node.output[0], 0)).lower()
        kind = {"float": "float32", "undefined": "float32"}.get(kind, kind)
        if kind == "float32" and node.op_type not in CONVERSIONS and _quantized(node, producer, users):
            kind = "int8"
        yield Operation(node.op_type, node.output[0], kind)


def _quantized(node, producer, users):
    before = producer.get(node.input[0]) if node.input else None
    after = users.get(node.output[0], [])
    while len(after) == 1 and after[0].op_type in ("Relu", "Clip"):
        after = users.get(after[0].output[0], [])
    if node.op_type in ("Relu", "Clip") and before is not None and before.op_type not in CONVERSIONS:
        return _quantized(before, producer, users)
    from_int8 = before is not None and before.op_type == "DequantizeLinear"
    return from_int8 and bool(after) and all(each.op_type == "QuantizeLinear" for each in after)
