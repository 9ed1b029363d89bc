"""The bytes of a `.tflite` file as objects of the schema, once it is known that readers come to an end with them.

Offsets in a flatbuffer may lead to the same table many times, operations may read what they make themselves, and sizes
of tensors are only declared. So a small file could unpack to any size, and walks along its graph could go round for
ever. All of that is refused here; readers of the objects trust it.
"""

import math
import struct

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting.stored import said

IDENTIFIER = b"TFL3"
DTYPES = {
    code: name.lower()
    for name, code in vars(schema.TensorType).items()
    if name.lower() in ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
}
OPERATORS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
DAMAGE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, MemoryError, struct.error)
"""What reading a flatbuffer raises where an offset or a length in it is wrong."""

SHARED, SHARED_LEAST = 2, 1 << 16
"""How many times the file's own bytes its tables may unpack to, and what any file may: writers share short texts."""

DENSE, DENSE_LEAST = 1 << 10, 1 << 26
"""How many times the file's bytes its constants may be, made dense, and bytes that those of any file may be."""

NONE = -1
"""The index of a tensor that an operation leaves out."""

TEXTS = {
    schema.BuiltinOptions.VarHandleOptions: (schema.VarHandleOptions, ("Container", "SharedName")),
}
TEXTS_2 = {
    schema.BuiltinOptions2.StablehloCustomCallOptions: (
        schema.StablehloCustomCallOptions,
        ("CallTargetName", "BackendConfig"),
    ),
    schema.BuiltinOptions2.StableHLOCompositeOptions: (schema.StableHLOCompositeOptions, ("Name",)),
}
"""Options of operations that hold texts: unpacking copies these; numbers stay in the file's bytes."""


def unpacked(data):
    """The `ModelT` of a file; lists of operations and of their tensors are lists, even where they are empty.

    Raises:
        ValueError: "not a .tflite file" or "a damaged .tflite file", and why: an offset or an index is wrong; tables
            unpack to more than the file holds; a constant's bytes are not as many as its shape asks for; constants,
            made dense, are too large for the file; or an operation reads what it, or a later one, makes.
    """
    bounded(data)
    try:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        model.buffers = model.buffers or []
        for graph in model.subgraphs:
            graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
            for each in (graph, *graph.operators):
                each.inputs, each.outputs = (() if end is None else end for end in (each.inputs, each.outputs))
        _constants(model, DENSE_LEAST + DENSE * len(data))
        for graph in model.subgraphs:
            _operations(graph, len(model.operatorCodes or ()))
        for code in model.operatorCodes or ():
            kind(code)
        if not model.subgraphs:
            raise ValueError("it has no graph")
    except DAMAGE as error:
        raise ValueError(f"a damaged .tflite file: {said(error)}") from error
    return model


def bounded(data):
    """The `Model` of the schema, which reads tables as they are asked for; they unpack to no more than the file holds.

    Raises:
        ValueError: "not a .tflite file" or "a damaged .tflite file", and why.
    """
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"not a .tflite file: its identifier is {bytes(data[4:8])!r}, {IDENTIFIER!r} was expected")
    try:
        model = schema.Model.GetRootAs(data, 0)
        _Size(data).check(model)
    except DAMAGE as error:
        raise ValueError(f"a damaged .tflite file: {said(error)}") from error
    return model


def kind(code):
    """The name of an operator code, such as "CONV_2D"."""
    # Files written before the code had 32 bits keep it in an older field.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number not in OPERATORS:
        raise ValueError(f"operation code {number} is not known")
    return OPERATORS[number]


class _Size:
    """Adds up what the tables of a file unpack to, as far as the file's size allows; reads no more than that."""

    def __init__(self, data):
        self.left = SHARED_LEAST + SHARED * len(data)

    def take(self, count):
        self.left -= count
        if self.left < 0:
            raise ValueError("its tables lie in each other: they would unpack to more than the file holds")

    def text(self, value):
        self.take(0 if value is None else len(value))

    def tables(self, owner, name):
        """The tables of a vector, one after the other; each takes an offset and a beginning."""
        self.take(8 * getattr(owner, f"{name}Length")())
        each = getattr(owner, name)
        yield from map(each, range(getattr(owner, f"{name}Length")()))

    def numbers(self, owner, *names, width=4):
        for name in names:
            self.take(width * getattr(owner, f"{name}Length")())

    def check(self, model):
        self.text(model.Description())
        self.numbers(model, "MetadataBuffer")
        for code in self.tables(model, "OperatorCodes"):
            self.text(code.CustomCode())
        for _ in self.tables(model, "Buffers"):
            pass  # their data stay where they are
        for name in ("Metadata", "ExternalBufferGroups"):
            for each in self.tables(model, name):
                self.text(each.Name())
        for each in self.tables(model, "ExternalBuffers"):
            self.text(each.Packing())
        for signature in self.tables(model, "SignatureDefs"):
            self.text(signature.SignatureKey())
            for end in ("Inputs", "Outputs"):
                for each in self.tables(signature, end):
                    self.text(each.Name())
        for graph in self.tables(model, "Subgraphs"):
            self.text(graph.Name())
            self.numbers(graph, "Inputs", "Outputs")
            for tensor in self.tables(graph, "Tensors"):
                self.tensor(tensor)
            for operator in self.tables(graph, "Operators"):
                self.operator(operator)

    def tensor(self, tensor):
        self.text(tensor.Name())
        self.numbers(tensor, "Shape", "ShapeSignature")
        quantization, sparsity = tensor.Quantization(), tensor.Sparsity()
        if quantization is not None:
            self.numbers(quantization, "Min", "Max", "Scale")
            self.numbers(quantization, "ZeroPoint", width=8)
        if sparsity is not None:
            self.numbers(sparsity, "TraversalOrder", "BlockMap")
            for _ in self.tables(sparsity, "DimMetadata"):
                pass  # segments and indices stay where they are
        for each in self.tables(tensor, "VariantTensors"):
            self.numbers(each, "Shape")

    def operator(self, operator):
        self.numbers(operator, "Inputs", "Outputs", "Intermediates")
        self.numbers(operator, "MutatingVariableInputs", width=1)
        self.options(TEXTS, operator.BuiltinOptionsType(), operator.BuiltinOptions())
        self.options(TEXTS_2, operator.BuiltinOptions2Type(), operator.BuiltinOptions2())

    def options(self, known, code, table):
        if table is not None and code in known:
            made, names = known[code]
            options = made()
            options.Init(table.Bytes, table.Pos)
            for name in names:
                self.text(getattr(options, name)())


def _constants(model, most):
    """Every constant has the bytes that its shape asks for; all of them, made dense, at most `most`.

    So do those that operations read, each as often as it is read: who goes through the operations looks at it again.
    """
    dense, read = 0, 0
    for graph in model.subgraphs:
        sizes = {}
        for place, tensor in enumerate(graph.tensors):
            if not 0 <= tensor.buffer < len(model.buffers):
                raise ValueError(f"tensor {place} is in buffer {tensor.buffer} of {len(model.buffers)}")
            data = model.buffers[tensor.buffer].data
            if data is None or len(data) == 0 or tensor.type not in DTYPES:
                continue
            shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
            size = math.prod(shape) * np.dtype(DTYPES[tensor.type]).itemsize
            if min(shape, default=0) < 0 or (tensor.sparsity is None and size != len(data)):
                raise ValueError(f"tensor {place} of {DTYPES[tensor.type]} {shape} has {len(data)} bytes")
            sizes[place] = size
        dense += sum(sizes.values())
        read += sum(sizes.get(int(index), 0) for operator in graph.operators for index in operator.inputs)
        if max(dense, read) > most:
            raise ValueError(f"its constants, made dense, are more than {most} bytes, too many for its size")


def _operations(graph, codes):
    """Every index is one, every tensor is made once, and read only after it was made."""
    count, made = len(graph.tensors), {}
    for index in (*graph.inputs, *graph.outputs):
        if not 0 <= index < count:
            raise ValueError(f"the graph's tensor {index} is none of {count}")
    for place, operator in enumerate(graph.operators):
        if not 0 <= operator.opcodeIndex < codes:
            raise ValueError(f"operation {place} has the code {operator.opcodeIndex} of {codes}")
        for index in map(int, operator.outputs):
            if not 0 <= index < count:
                raise ValueError(f"operation {place} makes tensor {index}, which is none of {count}")
            if made.setdefault(index, place) != place:
                raise ValueError(f"operations {made[index]} and {place} both make tensor {index}")
    for place, operator in enumerate(graph.operators):
        for index in map(int, operator.inputs):
            if not NONE <= index < count:
                raise ValueError(f"operation {place} reads tensor {index}, which is none of {count}")
            if made.get(index, NONE) >= place and not graph.tensors[index].isVariable:
                raise ValueError(f"operation {place} reads tensor {index}, which operation {made[index]} makes later")
