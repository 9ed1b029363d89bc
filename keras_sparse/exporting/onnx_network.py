"""An `.onnx` file as targets see it: the kernels of its convolutions and matrix products, and how they are stored."""

import numpy as np
import onnx

from keras_sparse.exporting.onnx_checked import DAMAGE, constants, load
from keras_sparse.exporting.stored import said
from keras_sparse.targets.network import (
    CONV,
    DENSE,
    DEPTHWISE,
    FLOAT16,
    FLOAT32,
    INT8,
    INT8_WEIGHTS,
    OTHER,
    Layer,
    Network,
    Stored,
)

WEIGHTS = {
    "Conv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "ConvTranspose": 1,
    "Gemm": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "QLinearMatMul": 3,
}
"""{operation: place of its weights among the inputs}."""

INTEGER = ("ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul")
"""Operations on integers by definition; in others, int8 weights are dequantized by an operation before them."""

BETWEEN, MOST_BETWEEN = ("DequantizeLinear", "Transpose", "Identity", "Cast"), 8
"""Operations that weights may go through before they are read, and how many: converters write one or two."""

DEPTHWISE_CHANNELS = 1


def read(path):
    """The `Network` of a file, without a graph. Raises ValueError for what is not an `.onnx` file."""
    model = load(path)
    try:
        found = _Reader(model.graph)
        layers = tuple(layer for node in model.graph.node if (layer := found.layer(node)) is not None)
    except DAMAGE as error:
        raise ValueError(f"{path} is a damaged .onnx file: {said(error)}") from error
    return Network(layers, no_graph_because="only .tflite files run in LiteRT")


class _Reader:
    def __init__(self, graph):
        self.values = constants(graph)
        self.producer = {name: node for node in graph.node for name in node.output}
        self.kept = {}

    def constant(self, name):
        """`(initializer, values as the operation reads them, operations between)`, or `None` for no constant."""
        between = []
        while name not in self.values:
            node = self.producer.get(name)
            if node is None or node.op_type not in BETWEEN or len(between) == MOST_BETWEEN:
                return None
            between.append(node)
            name = node.input[0]
        values = self.values[name]
        for node in reversed(between):
            if node.op_type == "Transpose":
                values = values.transpose(_attribute(node, "perm", tuple(reversed(range(values.ndim)))))
        return name, values, tuple(node.op_type for node in reversed(between))

    def matrices(self, node, values):
        """Its kind and where its weights are not zero; of weights that many operations read, once."""
        form = node.op_type, _attribute(node, "group", 1), _attribute(node, "transB", 0)
        key = values.ctypes.data, values.shape, values.strides, *form
        if key not in self.kept:
            self.kept[key] = _matrices(node, values != 0)
        return self.kept[key]

    def layer(self, node):
        place = WEIGHTS.get(node.op_type)
        found = None if place is None or len(node.input) <= place else self.constant(node.input[place])
        if found is None or found[1].ndim < 2 or found[1].dtype not in ("float32", "float16", "int8", "uint8"):
            return None
        if not found[1].size:
            return None
        name, values, steps = found
        kind, kept = self.matrices(node, values)
        positions, rows, cols = kept.shape
        return Layer(
            name,
            kind,
            node.op_type,
            positions,
            rows,
            cols,
            self.scheme(node, values.dtype, steps),
            zeros=int(kept.size - np.count_nonzero(kept)),
            kept=kept,
            vectors=None,
            stored=Stored("dense", values.nbytes),
        )

    def scheme(self, node, dtype, steps):
        if dtype not in ("int8", "uint8"):
            return FLOAT16 if dtype == "float16" else FLOAT32
        if node.op_type in INTEGER:
            return INT8
        before = self.producer.get(node.input[0])
        from_int8 = before is not None and before.op_type == "DequantizeLinear"
        return INT8 if "DequantizeLinear" in steps and from_int8 else INT8_WEIGHTS


def _matrices(node, kept):
    """`(kind, (positions, rows, cols))` of an operation's weights."""
    if "MatMul" in node.op_type or node.op_type == "Gemm":
        if kept.ndim > 2:
            return OTHER, np.swapaxes(kept, -1, -2).reshape(-1, kept.shape[-1], kept.shape[-2])
        transposed = node.op_type == "Gemm" and _attribute(node, "transB", 0)
        return DENSE, (kept if transposed else kept.T)[None]
    outputs, inputs = kept.shape[:2]
    groups = _attribute(node, "group", 1)
    if node.op_type == "ConvTranspose":
        return OTHER, np.moveaxis(kept, (1, 0), (-2, -1)).reshape(-1, inputs, outputs)
    if groups > 1 and inputs == DEPTHWISE_CHANNELS:
        return DEPTHWISE, kept.reshape(1, outputs, -1)
    kind = CONV if groups == 1 and kept.ndim == 4 else OTHER
    return kind, np.moveaxis(kept, (0, 1), (-2, -1)).reshape(-1, outputs, inputs)


def _attribute(node, name, default):
    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else onnx.helper.get_attribute_value(found)
