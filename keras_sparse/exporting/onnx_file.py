"""Reads `.onnx` files without running them."""

import numpy as np
import onnx

from keras_sparse.exporting.onnx_checked import DAMAGE, constants, load
from keras_sparse.exporting.stored import Operation, StoredModel, StoredTensor, said

CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")
MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice", "Pad", "Identity")
INTEGER = ("ConvInteger", "MatMulInteger")
FUSED = ("Relu", "Clip")
NOT_ARITHMETIC = (*CONVERSIONS, *MOVES)


def read(path):
    """The constants and the operations of a file. Raises ValueError for what is not an `.onnx` file."""
    model = load(path)
    try:
        return stored(model)
    except DAMAGE as error:
        raise ValueError(f"{path} is a damaged .onnx file: {said(error)}") from error


def stored(model):
    """The constants and the operations of a `ModelProto`."""
    graph = model.graph
    values = constants(graph)
    quantization = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    integer = {node.input[1]: node for node in graph.node if node.op_type in INTEGER}
    scales = _integer_scales(graph, values)
    tensors = tuple(
        _integer_tensor(name, value, integer[name], scales, values)
        if name in integer
        else _tensor(name, value, quantization.get(name), values)
        for name, value in values.items()
    )
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), None)
    return StoredModel(tensors, tuple(_operations(graph)), opset)


def _tensor(name, values, node, constants):
    inputs = 0 if values.ndim == 2 else 1  # a matrix is (inputs, outputs), a convolution's kernel OIHW
    given = None if node is None else constants.get(node.input[1])  # an operation may make it too
    if given is None:
        return StoredTensor(name, values, input_axis=inputs)
    scale = np.atleast_1d(given)
    zero_point = constants.get(node.input[2]) if len(node.input) > 2 else None
    zero_point = np.zeros(scale.shape, np.int8) if zero_point is None else np.atleast_1d(zero_point)
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    if scale.size == 1 or scale.ndim > 1:  # of many axes: a scale for each block
        return StoredTensor(name, values, scale, zero_point, None, inputs)
    if not -values.ndim <= axis < values.ndim or values.shape[axis] != scale.size:
        raise ValueError(f"the constant {name!r} of shape {values.shape} has {scale.size} scales along axis {axis}")
    return StoredTensor(name, values, scale, zero_point, axis % values.ndim, inputs)


def _integer_scales(graph, constants):
    """`{an integer input of an operation: the scales of its weights}`: they multiply that of the input."""
    products = {each.input[0]: each.input[1] for each in graph.node if each.op_type == "Mul"}
    pairs = ((each.output[0], products.get(each.output[1])) for each in graph.node if len(each.output) > 1)
    return {quantized: constants.get(product) for quantized, product in pairs}


def _integer_tensor(name, values, node, scales, constants):
    """Weights of a ConvInteger or MatMulInteger: their scale multiplies that of the input, after the cast to float."""
    zero_point = constants.get(node.input[3]) if len(node.input) > 3 else None
    zero_point = np.zeros(1, values.dtype) if zero_point is None else zero_point
    axis, inputs = (0, 1) if node.op_type == "ConvInteger" else (values.ndim - 1, 0)
    return StoredTensor(name, values, scales.get(node.input[0]), zero_point, axis, inputs)


def _operations(graph):
    """Operations that are computed in int8 are those whose inputs come from and whose outputs go to Q/DQ pairs."""
    types = {each.name: each.type.tensor_type.elem_type for each in (*graph.value_info, *graph.output)}
    quantized = _quantized(graph.node)
    for place, node in enumerate(graph.node):
        kind = onnx.TensorProto.DataType.Name(types.get(node.output[0], 0)).lower()
        kind = {"float": "float32", "undefined": "float32"}.get(kind, kind)
        if kind == "float32" and node.op_type not in CONVERSIONS and place in quantized:
            kind = "int8"
        yield Operation(node.op_type, node.output[0], kind)


def _quantized(nodes):
    """The places of nodes between Q/DQ pairs; ReLU and Clip belong to what they follow."""
    producer = {name: place for place, node in enumerate(nodes) for name in node.output}
    users = {}
    for place, node in enumerate(nodes):
        for name in node.input:
            users.setdefault(name, []).append(place)

    def before(place):
        return producer.get(nodes[place].input[0]) if nodes[place].input else None

    def after(place):
        return users.get(nodes[place].output[0], [])

    def fused_into(place):
        source = before(place) if nodes[place].op_type in FUSED else None
        return None if source is None or nodes[source].op_type in CONVERSIONS else source

    def fused(place):
        found = after(place)
        return found[0] if len(found) == 1 and nodes[found[0]].op_type in FUSED else None

    starts, ends = (_followed(step, len(nodes)) for step in (fused_into, fused))
    found = set()
    for place, start in starts.items():
        source, last = before(start), after(ends[start])
        from_int8 = source is not None and nodes[source].op_type == "DequantizeLinear"
        if from_int8 and last and all(nodes[each].op_type == "QuantizeLinear" for each in last):
            found.add(place)
    return found


def _followed(step, count):
    """`{place: where the steps from it end}`; each step is taken once, for a graph may be one long chain."""
    ends = {}
    for place in range(count):
        path = [place]
        while path[-1] not in ends and (following := step(path[-1])) is not None:
            path.append(following)
        ends.update(dict.fromkeys(path, ends.get(path[-1], path[-1])))
    return ends
