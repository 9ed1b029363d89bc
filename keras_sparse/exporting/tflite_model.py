"""A `.tflite` file as objects of the schema, to be changed and written again."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from keras_sparse.exporting.tflite_checked import DTYPES, IDENTIFIER, OPERATORS, kind, unpacked

ALIGNMENT = 16
"""Bytes: what the schema asks for the data of buffers (`force_align`), and kernels rely on."""

OLD_CODES = 127
"""The highest code that fits the field which old readers know; newer operators have this one there."""

CODES = {name: code for code, name in OPERATORS.items()}
TYPES = {name: code for code, name in DTYPES.items()}


class _Buffer(schema.BufferT):
    """A buffer whose data is aligned; the generated class leaves that to chance."""

    def Pack(self, builder):
        if self.data is None or len(self.data) == 0:
            return super().Pack(builder)
        data = memoryview(self.data).cast("B")
        builder.StartVector(1, len(data), ALIGNMENT)
        builder.head = builder.Head() - len(data)
        builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def load(data):
    """The bytes of a `.tflite` file as a `ModelT`. Raises ValueError for what is not one."""
    return unpacked(data)


def dump(model):
    """The bytes of the file: the same model gives the same bytes. Buffers that nothing refers to are left empty."""
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used.update(each.buffer for each in model.metadata or ())
    for index, buffer in enumerate(model.buffers):
        buffer.__class__ = _Buffer
        if index not in used:
            buffer.data = None
    size = sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers)
    builder = Builder(size + (1 << 16))
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class Graph:
    """One graph of a model, with what editing needs: who makes and who reads a tensor, new constants and operations."""

    def __init__(self, model, index=0):
        self.model, self.graph = model, model.subgraphs[index]
        self.tensors = self.graph.tensors

    @property
    def operators(self):
        return self.graph.operators

    def name(self, operator):
        """The operation's name in the schema, such as "CONV_2D"."""
        return kind(self.model.operatorCodes[operator.opcodeIndex])

    def producer(self, tensor):
        """The operator that makes the tensor of that index, or `None` for an input or a constant."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def users(self, tensor):
        """The operators that read the tensor of that index."""
        return [op for op in self.operators if op.inputs is not None and tensor in op.inputs]

    def readers(self, tensor):
        """The names of the outputs of the operators that read the tensor of that index."""
        return {text(self.tensors[op.outputs[0]].name) for op in self.users(tensor)}

    def is_output(self, tensor):
        return tensor in self.graph.outputs

    def dtype(self, tensor):
        return DTYPES.get(self.tensors[tensor].type, "other")

    def constant(self, tensor):
        """The values of the constant of that index, in its shape, or `None` where it is none or is stored sparse."""
        tensor = self.tensors[tensor]
        data = self.model.buffers[tensor.buffer].data
        if data is None or len(data) == 0 or tensor.sparsity is not None or tensor.type not in DTYPES:
            return None
        shape = () if tensor.shape is None else tuple(int(n) for n in tensor.shape)
        return np.frombuffer(memoryview(data), DTYPES[tensor.type]).reshape(shape)

    def set_constant(self, tensor, values):
        """Gives a tensor values of its own, in a new buffer: other tensors may share the old one."""
        values = np.ascontiguousarray(values)
        tensor = self.tensors[tensor]
        tensor.buffer = self._buffer(values.tobytes())
        tensor.type, tensor.shape, tensor.shapeSignature = TYPES[values.dtype.name], [*values.shape], None

    def add_tensor(self, name, shape, dtype, quantization=None, data=None):
        """A new tensor, constant if it has `data` (bytes); returns its index."""
        buffer = 0 if data is None else self._buffer(data)
        self.tensors.append(
            schema.TensorT(shape=[*shape], type=TYPES[dtype], buffer=buffer, name=name, quantization=quantization)
        )
        self.tensors[-1].hasRank = True
        return len(self.tensors) - 1

    def add_constant(self, name, values, quantization=None):
        """A new constant; returns its index."""
        values = np.ascontiguousarray(values)
        return self.add_tensor(name, values.shape, values.dtype.name, quantization, values.tobytes())

    def add_operator(self, name, inputs, outputs, options=None, version=1, before=None, after=None):
        """A new operator, before or after another one, or at the end. `options` is an object of the schema."""
        kind = schema.BuiltinOptions.NONE if options is None else _options_code(options)
        operator = schema.OperatorT(
            self._code(name, version), [*inputs], [*outputs], builtinOptionsType=kind, builtinOptions=options
        )
        last = len(self.operators) if before is None else self.operators.index(before)
        self.operators.insert(last if after is None else self.operators.index(after) + 1, operator)
        return operator

    def set_version(self, operator, version):
        """Writes the operator as that version of its kind; other operators of the kind keep theirs."""
        operator.opcodeIndex = self._code(self.name(operator), version)

    def version(self, operator):
        return self.model.operatorCodes[operator.opcodeIndex].version

    def _code(self, name, version):
        for index, code in enumerate(self.model.operatorCodes):
            if max(code.builtinCode, code.deprecatedBuiltinCode) == CODES[name] and code.version == version:
                return index
        code = schema.OperatorCodeT(min(CODES[name], OLD_CODES), None, version, CODES[name])
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def _buffer(self, data):
        self.model.buffers.append(schema.BufferT(np.frombuffer(data, np.uint8)))
        return len(self.model.buffers) - 1


def text(name):
    """A tensor's name, which the schema's classes hold as bytes once they were read."""
    return name.decode() if isinstance(name, bytes) else name


def _options_code(options):
    return getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))


def compact(model):
    """Drops buffers that nothing refers to, and keeps one of those with the same bytes. Changes the model."""
    places, kept = {b"": 0}, [schema.BufferT()]

    def place(index):
        data = model.buffers[index].data
        data = b"" if data is None else bytes(data)
        if data not in places:
            places[data] = len(kept)
            kept.append(model.buffers[index])
        return places[data]

    for graph in model.subgraphs:
        lists = [graph.inputs, graph.outputs, *(each for op in graph.operators for each in (op.inputs, op.outputs))]
        used = {int(tensor) for each in lists if each is not None for tensor in each}
        for index, tensor in enumerate(graph.tensors):
            tensor.buffer = place(tensor.buffer) if index in used else 0
    for each in model.metadata or ():
        each.buffer = place(each.buffer)
    if model.metadataBuffer is not None:
        model.metadataBuffer = [place(index) for index in model.metadataBuffer]
    model.buffers = kept
