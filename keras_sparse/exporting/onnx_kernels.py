"""Which kernels ONNX Runtime really runs for a file: those of the graph that it makes of it on this processor."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from keras_sparse.exporting import onnx_file
from keras_sparse.exporting.onnx_graph import attribute
from keras_sparse.runtime import isolated, products

CONVERTS = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Cast")
"""Operations that change the type of values, and compute nothing."""

MOVES = (*onnx_file.MOVES, "ReorderInput", "ReorderOutput", "Gather", "Concat", "Split", "Expand", "Tile", "Shape")
"""Operations that only move values."""

INT8_INSIDE = ("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "QAttention", "DynamicQuantizeLSTM")
"""Kernels that take or give floats and compute in int8 between."""

OUTPUTS = {
    "QuantizeLinear": lambda types: types[2] if len(types) > 2 else TensorProto.UINT8,
    "DequantizeLinear": lambda types: types[1],
    "QGemm": lambda types: types[8] if len(types) > 8 else TensorProto.FLOAT,
    "QLinearConcat": lambda types: types[1],
    "ConvInteger": lambda types: TensorProto.INT32,
    "MatMulInteger": lambda types: TensorProto.INT32,
    "MatMulIntegerToFloat": lambda types: TensorProto.FLOAT,
    "Shape": lambda types: TensorProto.INT64,
}
"""{operation: types of its inputs -> type of its output}, where that is not the type of the first input."""

VALUES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.UINT8)
"""Types whose operations give the same type, but for those of `OUTPUTS`."""


@dataclass(frozen=True)
class Kernel:
    """One operation that ONNX Runtime runs.

    Attributes:
        operation: as ONNX Runtime calls it, such as "QLinearConv"; after fusion it stands for several of the file.
        output: its first output, named as in the file.
        computes: "int8", "float32", "float16" or another type of its values; "conversion" between types.
    """

    operation: str
    output: str
    computes: str

    @property
    def arithmetic(self):
        """Whether it computes values, and does not only move or convert them."""
        return self.computes != "conversion" and self.operation not in MOVES


def optimized(path):
    """The `GraphProto` that ONNX Runtime makes of the file at `path`, on the processor it is asked on.

    It is optimized as a session does it by default (`ORT_ENABLE_ALL`), in a process of its own.

    Raises:
        RuntimeFailure: ONNX Runtime refuses the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "optimized.onnx")
        isolated.optimized(path, made)
        try:
            return onnx.load(str(made)).graph
        except DecodeError as error:
            raise isolated.RuntimeFailure(f"{path}: ONNX Runtime wrote no graph: {error}") from error


def saturating(graph):
    """Names of the weights, in such a graph, whose sums x86-64 processors without VNNI may cut off."""
    return tuple(products.weights(node) for node in products.overflowing(graph))


def kernels(graph):
    """What ONNX Runtime runs, in order: of an `optimized` graph.

    Returns:
        A tuple of `Kernel`s.

    >>> import keras
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation="relu")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = ks.export(ks.calibrate(model, keras.ops.ones((2, 8))), f"{folder}/m.onnx").path
    ...     [(each.operation, each.computes) for each in kernels(optimized(path))]
    [('QuantizeLinear', 'conversion'), ('QLinearMatMul', 'int8'), ('DequantizeLinear', 'conversion')]
    """
    return tuple(_kernels(graph))


def _kernels(graph):
    # What a graph declares of the tensors within are the types from before it was optimized.
    declared = {each.name: each.type.tensor_type.elem_type for each in (*graph.value_info, *graph.output)}
    types = {each.name: each.data_type for each in graph.initializer}
    types |= {each.name: each.type.tensor_type.elem_type for each in graph.input}
    for node in graph.node:
        inputs = [types.get(name, 0) for name in node.input]
        for place, name in enumerate(node.output):
            if node.op_type == "DynamicQuantizeLinear":  # values, scale, zero point
                types[name] = TensorProto.FLOAT if place == 1 else TensorProto.UINT8
            elif node.op_type == "Cast":
                types[name] = attribute(node, "to")
            elif node.op_type in OUTPUTS:
                types[name] = OUTPUTS[node.op_type](inputs)
            elif inputs and inputs[0] in VALUES:
                types[name] = inputs[0]
            else:
                types[name] = declared.get(name, inputs[0] if inputs else 0)
        yield Kernel(node.op_type, node.output[0], _computes(node, inputs, types[node.output[0]]))


def _computes(node, inputs, output):
    if node.op_type in CONVERTS:
        return "conversion"
    integer = node.op_type.startswith("QLinear") or node.op_type in INT8_INSIDE
    if integer or {*inputs[:1], output} & {TensorProto.INT8, TensorProto.UINT8}:
        return "int8"
    kind = TensorProto.DataType.Name(output).lower()
    return {"float": "float32"}.get(kind, kind)


def float_kernels(found):
    """Those of the `Kernel`s that compute in float: in an int8 file, what ONNX Runtime has no int8 kernel for."""
    return tuple(each for each in found if each.arithmetic and each.computes.startswith("float"))
