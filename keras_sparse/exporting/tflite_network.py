"""A `.tflite` file as targets see it: how its weights are stored, and its operations."""

import math
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting.stored import StoredTensor, said
from keras_sparse.exporting.tflite_checked import DAMAGE, DTYPES
from keras_sparse.exporting.tflite_model import Graph, load
from keras_sparse.targets import xnnpack_cnn as cnn
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
    Operation,
    Stored,
)

WEIGHTS = {
    "FULLY_CONNECTED": (DENSE, 1),
    "CONV_2D": (CONV, 1),
    "DEPTHWISE_CONV_2D": (DEPTHWISE, 1),
    "TRANSPOSE_CONV": (OTHER, 1),
    "CONV_3D": (OTHER, 1),
    "BATCH_MATMUL": (OTHER, 1),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (OTHER, 1),
    "SVDF": (OTHER, 1),
}
"""{operation: (kind, place of its weights among the inputs)}."""

KINDS = {
    "ADD": cnn.ADD,
    "MUL": cnn.MULTIPLY,
    "RESIZE_BILINEAR": cnn.RESIZE,
    "MEAN": cnn.MEAN,
    "DEPTH_TO_SPACE": cnn.DEPTH_TO_SPACE,
    "PAD": cnn.PAD,
    **dict.fromkeys(
        ("RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "LEAKY_RELU", "ABS", "NEG", "FLOOR",
         "CEIL", "ROUND", "SQUARE", "SQRT", "RSQRT", "EXP", "LOG", "GELU"),
        cnn.UNARY,
    ),
}  # fmt: skip

UNPACKING = ("DENSIFY", "DEQUANTIZE")
"""Operations that LiteRT does once, when the file is loaded, where their input is a constant."""


def read(path):
    """The `Network` of the file's main graph. Raises ValueError for what is not a `.tflite` file."""
    try:
        model = load(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error
    try:
        return _Reader(Graph(model)).run()
    except DAMAGE as error:
        raise ValueError(f"{path} is a damaged .tflite file: {said(error)}") from error


def of(graph):
    """The `Network` of a `tflite_model.Graph`."""
    return _Reader(graph).run()


class _Reader:
    def __init__(self, graph):
        self.graph = graph
        self.unpacked = {}
        for op in graph.operators:  # in order, so that each finds what it reads
            if graph.name(op) in UNPACKING:
                self.unpacked[op.outputs[0]] = self.source(op.inputs[0]), graph.name(op)

    def run(self):
        layers, operations = [], []
        for op in self.graph.operators:
            if self.unpacks(op):
                continue
            operations.append(self.operation(op))
            kind, place = WEIGHTS.get(self.graph.name(op), (None, 0))
            if kind is not None and len(op.inputs) > place:
                layer = self.layer(op, op.inputs[place], kind)
                if layer is not None:
                    layers.append(layer)
        return Network(tuple(layers), tuple(operations), tuple(int(n) for n in self.graph.graph.outputs))

    def unpacks(self, op):
        return self.graph.name(op) in UNPACKING and self.source(op.outputs[0])[0] is not None

    def source(self, tensor):
        """`(constant that the tensor is unpacked from or None, names of what unpacks it, each once at most)`."""
        if self.stored(tensor):
            return tensor, ()
        (origin, steps), step = self.unpacked.get(tensor, ((None, ()), None))
        return (None, ()) if origin is None or step in steps else (origin, (step, *steps))

    def stored(self, tensor):
        data = self.graph.model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def shape(self, tensor):
        shape = self.graph.tensors[tensor].shape
        return () if shape is None else tuple(int(n) for n in shape)

    def dtype(self, tensor):
        return DTYPES.get(self.graph.tensors[tensor].type, "other")

    def output(self, op):
        """The name of what it makes first; nothing where it changes a variable."""
        return self.name(op.outputs[0]) if len(op.outputs) else ""

    def name(self, tensor):
        name = self.graph.tensors[tensor].name
        return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)

    def layer(self, op, weights, kind):
        index, steps = self.source(weights)
        dtype = None if index is None else self.dtype(index)
        if dtype not in ("float32", "float16", "int8"):
            return None
        shape, tensor = self.shape(weights), self.graph.tensors[index]
        if kind == CONV and shape[-1] != self.shape(op.inputs[0])[-1]:
            kind = OTHER  # groups
        data = memoryview(self.graph.model.buffers[tensor.buffer].data)
        values = np.frombuffer(data, dtype)
        if math.prod(shape) == 0:
            return None
        block = None if tensor.sparsity is None else _block(tensor.sparsity, len(shape))
        # What a table leaves out is zero, and zeros may be inside its blocks too.
        zeros = math.prod(shape) - int(np.count_nonzero(values))
        if block is None:
            axis = _channel_axis(tensor) if kind != DEPTHWISE else len(shape) - 1
            kept = StoredTensor("", values.reshape(shape) != 0, channel_axis=axis).matrices()
            positions, rows, cols = kept.shape
        else:
            kept, positions, rows, cols = None, math.prod(shape[1:-1]), shape[0], shape[-1]
        return Layer(
            self.name(index),
            kind,
            self.graph.name(op),
            positions,
            rows,
            cols,
            self.scheme(op, dtype, steps),
            zeros=zeros,
            kept=kept,
            vectors=math.prod(self.shape(op.outputs[0])[:-1]),
            operation=self.output(op),
            stored=Stored(
                _words(block, steps),
                len(data) + (0 if tensor.sparsity is None else _table_bytes(tensor.sparsity)),
                block,
                "DENSIFY" in steps,
                self.graph.version(op),
                0 if tensor.sparsity is None else _fullest_row(tensor.sparsity),
                {"int8": INT8_WEIGHTS, "float16": FLOAT16}.get(dtype) if "DEQUANTIZE" in steps else None,
            ),
        )

    def scheme(self, op, dtype, steps):
        if dtype == "int8" and "DEQUANTIZE" not in steps:
            return INT8 if self.dtype(op.inputs[0]) == "int8" else INT8_WEIGHTS
        # What is dequantized first is computed in float32, however it is stored.
        return FLOAT16 if dtype == "float16" else FLOAT32

    def operation(self, op):
        name, options = self.graph.name(op), op.builtinOptions
        activations = tuple(int(t) for t in op.inputs if t >= 0 and self.source(t)[0] is None)
        kind = WEIGHTS[name][0] if name in WEIGHTS else KINDS.get(name, name)
        shape = self.shape(op.inputs[0]) if len(op.inputs) else ()
        arguments = {}
        if kind in (CONV, DEPTHWISE):
            arguments = self.window(op, options, kind, shape)
        if kind == cnn.MEAN:
            axes = self.graph.constant(op.inputs[1])
            wanted = axes is not None and {int(a) % len(shape) for a in np.atleast_1d(axes)} == {1, 2}
            kind, arguments = (kind, {"keepdims": bool(options.keepDims)}) if wanted else (name, {})
        if kind == cnn.PAD:
            zeros = self.graph.constant(op.inputs[1])
            spatial = zeros is not None and zeros.shape == (4, 2) and not zeros[[0, 3]].any()
            size = tuple(shape[1:3])
            padding = tuple(tuple(int(n) for n in pair) for pair in zeros[1:3]) if spatial else None
            kind, arguments = (kind, {"padding": padding, "size": size}) if spatial else (name, {})
        if kind in (cnn.ADD, cnn.MULTIPLY) and any(len(self.shape(t)) != 4 for t in op.inputs):
            kind = f"{name} with an input of other than 4 axes"
        floats = all(self.dtype(t) in ("float32", "float16") for t in (*activations, *op.outputs))
        hybrid = name in WEIGHTS and self.source(op.inputs[WEIGHTS[name][1]])[0] is not None and floats
        if hybrid:
            index, steps = self.source(op.inputs[WEIGHTS[name][1]])
            floats = self.scheme(op, self.dtype(index), steps) in (FLOAT32, FLOAT16)
        return Operation(
            self.output(op),
            kind,
            activations,
            tuple(int(t) for t in op.outputs),
            rank=len(shape),
            floats=floats,
            **arguments,
        )

    def window(self, op, options, kind, shape):
        weights = self.shape(op.inputs[1])
        kernel, size = tuple(weights[1:3]), tuple(shape[1:3])
        strides, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
        same = options.padding == schema.Padding.SAME
        out = self.shape(op.outputs[0])[1:3]
        missing = [
            max(0, (o - 1) * s + (k - 1) * d + 1 - n) if same else 0
            for o, s, k, d, n in zip(out, strides, kernel, dilation, size, strict=True)
        ]
        return {
            "kernel": kernel,
            "strides": strides,
            "dilation": dilation,
            "channels": shape[-1],
            "size": size,
            "padding": tuple((m // 2, m - m // 2) for m in missing),
            "same": same and kernel != (1, 1),
            "groups": shape[-1] // weights[-1] if kind == CONV else 1,
            "multiplier": options.depthMultiplier if kind == DEPTHWISE else 1,
        }


def _channel_axis(tensor):
    quantization = tensor.quantization
    many = quantization is not None and quantization.scale is not None and len(quantization.scale) > 1
    return int(quantization.quantizedDimension) if many else None


def _block(sparsity, rank):
    """The block (rows, cols) of a table: its inner dimensions, by the axis that each one divides."""
    sizes = {int(axis): 1 for axis in range(rank)}
    mapped = [] if sparsity.blockMap is None else [int(axis) for axis in sparsity.blockMap]
    for axis, dimension in zip(mapped, sparsity.dimMetadata[rank:], strict=True):
        sizes[axis] = int(dimension.denseSize)
    if min(sizes.values()) < 1:
        raise ValueError(f"a block needs at least one value. Received: {sizes} by axis")
    return sizes[0], sizes[rank - 1]


def _table_bytes(sparsity):
    total = 0
    for dimension in sparsity.dimMetadata:
        for vector in (dimension.arraySegments, dimension.arrayIndices):
            if vector is not None and vector.values is not None:
                total += np.asarray(vector.values).nbytes
    return total


def _fullest_row(sparsity):
    """Most blocks between two neighbouring segments."""
    vectors = [each.arraySegments for each in sparsity.dimMetadata if each.arraySegments is not None]
    counts = [np.diff(np.asarray(each.values, np.int64)) for each in vectors]
    return max((int(each.max(initial=0)) for each in counts), default=0)


def _words(block, steps):
    name = "dense" if block is None else "CSR" if block == (1, 1) else f"blocks {block[0]}x{block[1]}"
    return " + ".join([name, *reversed(steps)])
