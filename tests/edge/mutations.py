"""Changes to a `.tflite` model that may or may not leave it sound: what a reader of its tensors must bear."""

from __future__ import annotations

import contextlib

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting.tflite_model import CODES, Graph

SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, -1, 255, 256, 40000, 2**16, 2**24, 2**31 - 1)
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 16, 40, -1, -5, 127, 128, -128, -129, 40000, 2**30, 2**31 - 1, -(2**31))
SCALES = (0.0, -0.1, 1e-38, 1e-20, 1e-5, 0.003, 0.05, 0.5, 1.0, 3.0, 1e5, 1e30, float("inf"), float("nan"))
KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "PAD", "DENSIFY")


def one(random, values):
    return values[int(random.integers(len(values)))]


def _tensor(graph, random):
    return graph.tensors[int(random.integers(len(graph.tensors)))]


def _constant(graph, random):
    """The index of a constant with values, or None."""
    found = [i for i, tensor in enumerate(graph.tensors) if tensor.sparsity is None and _data(graph, tensor)]
    return one(random, found) if found else None


def _data(graph, tensor):
    data = graph.model.buffers[tensor.buffer].data
    return b"" if data is None else bytes(data)


def shape(graph, random):
    tensor = _tensor(graph, random)
    sizes = [int(n) for n in ([] if tensor.shape is None else tensor.shape)]
    change = random.integers(4)
    if change == 0 and sizes:
        sizes.pop()
    elif change == 1:
        sizes.insert(int(random.integers(len(sizes) + 1)), one(random, SIZES[:6]))
    elif sizes:
        sizes[int(random.integers(len(sizes)))] = one(random, SIZES)
    tensor.shape = sizes


def constant(graph, random):
    """Other values of another shape, and a buffer that fits them: this gets by LiteRT's own checks."""
    index = _constant(graph, random)
    if index is None:
        return
    old = graph.constant(index)
    sizes = list(old.shape)
    change = random.integers(5)
    if change == 0 and len(sizes) > 1:
        random.shuffle(sizes)
    elif change < 3 and sizes:
        sizes[int(random.integers(len(sizes)))] = one(random, SIZES[:12])
    limits = np.iinfo(old.dtype) if old.dtype.kind == "i" else None
    count = int(np.prod(sizes, dtype=np.int64))
    if not 0 <= count <= 2**20:
        return
    if limits is None or change == 4:
        values = np.resize(old, sizes)
    else:
        values = random.integers(limits.min, limits.max, sizes, old.dtype, endpoint=True)
    graph.set_constant(index, values)


def buffer(graph, random):
    """Bytes cut off, added or changed; the shape stays."""
    index = _constant(graph, random)
    if index is None:
        return
    place = graph.tensors[index].buffer
    data = bytearray(_data(graph, graph.tensors[index]))
    change = random.integers(3)
    if change == 0:
        data = data[: int(random.integers(len(data) + 1))]
    elif change == 1:
        data += bytes(int(random.integers(1, 64)))
    else:
        data[int(random.integers(len(data)))] = int(random.integers(256))
    graph.model.buffers[place].data = np.frombuffer(bytes(data), np.uint8)


def quantization(graph, random):
    tensor = _tensor(graph, random)
    found, change = tensor.quantization, random.integers(7)
    if found is None or found.scale is None or change == 0:
        tensor.quantization = None
        return
    scales, zeros = [float(s) for s in found.scale], [int(z) for z in found.zeroPoint]
    if change == 1:
        scales[int(random.integers(len(scales)))] = one(random, SCALES)
    elif change == 2:
        zeros[int(random.integers(len(zeros)))] = one(random, NUMBERS)
    elif change == 3:
        scales, zeros = scales[:1], zeros[:1]
    elif change == 4:
        scales = scales * 2
    elif change == 5:
        found.quantizedDimension = one(random, NUMBERS)
    else:
        scales = [float(s) for s in random.uniform(1e-4, 0.1, len(scales)).astype(np.float32)]
        zeros = [int(random.integers(-128, 128))] * len(zeros) if random.integers(2) else zeros
    found.scale, found.zeroPoint = scales, zeros


def option(graph, random):
    options = one(random, graph.operators).builtinOptions
    if options is None or not vars(options):
        return
    name = one(random, sorted(vars(options)))
    setattr(
        options, name, bool(random.integers(2)) if isinstance(getattr(options, name), bool) else _number(name, random)
    )


def _number(name, random):
    if "ctivation" in name or "adding" in name or "Format" in name or "Type" in name:
        return int(random.integers(0, 7))
    return one(random, NUMBERS)


def wiring(graph, random):
    """Inputs left out, exchanged, read twice; outputs of the graph inside of it."""
    operator = one(random, graph.operators)
    inputs = [int(t) for t in operator.inputs]
    change = random.integers(5)
    if change == 0:
        inputs.pop()
    elif change == 1 and inputs:
        inputs[int(random.integers(len(inputs)))] = int(random.integers(-1, len(graph.tensors)))
    elif change == 2:
        inputs.append(int(random.integers(-1, len(graph.tensors))))
    elif change == 3:
        graph.graph.outputs = [*graph.graph.outputs, int(random.integers(len(graph.tensors)))]
    else:
        graph.graph.outputs = [*graph.graph.outputs, int(operator.outputs[0])]
    operator.inputs = inputs


def kind(graph, random):
    operator = one(random, graph.operators)
    code = graph.model.operatorCodes[operator.opcodeIndex]
    if random.integers(2):
        code.version = int(random.integers(0, 9))
    else:
        code.builtinCode = CODES[one(random, KINDS)]
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)


def order(graph, random):
    operators = graph.operators
    first, second = (int(random.integers(len(operators))) for _ in range(2))
    if random.integers(3) and len(operators) > 1:
        operators[first], operators[second] = operators[second], operators[first]
    elif len(operators) > 1:
        del operators[first]


def kept_as(graph, random):
    tensor = _tensor(graph, random)
    if random.integers(2):
        tensor.isVariable = not tensor.isVariable
    else:
        tensor.type = one(random, (schema.TensorType.INT8, schema.TensorType.UINT8, schema.TensorType.INT32,
                                   schema.TensorType.FLOAT32, schema.TensorType.INT16))  # fmt: skip


def sparsity(graph, random):
    """Tables of weights behind DENSIFY: levels, order, blocks, segments and indices."""
    found = [tensor.sparsity for tensor in graph.tensors if tensor.sparsity is not None]
    if not found:
        shape(graph, random)
        return
    tables, change = one(random, found), random.integers(6)
    level = one(random, tables.dimMetadata)
    if change == 0:
        tables.traversalOrder = _changed(tables.traversalOrder, random)
    elif change == 1:
        tables.blockMap = _changed([0] if tables.blockMap is None else tables.blockMap, random)
    elif change == 2:
        level.denseSize = one(random, SIZES)
    elif change == 3:
        level.format = 1 - level.format
    else:
        vector = level.arraySegments if change == 4 else level.arrayIndices
        if vector is not None:
            vector.values = _changed(vector.values, random)


def _changed(values, random):
    values = np.array(values)
    if len(values) == 0 or random.integers(4) == 0:
        return values[:-1]
    if random.integers(3) == 0:
        return random.permutation(values)
    limits = np.iinfo(values.dtype)
    values[int(random.integers(len(values)))] = np.clip(one(random, NUMBERS), limits.min, limits.max)
    return values


MUTATIONS = (
    shape, constant, constant, buffer, quantization, quantization, option, option, wiring, kind, order, kept_as,
    sparsity, sparsity,
)  # fmt: skip


def mutate(model, random):
    """Changes the model in one to three ways; returns their names."""
    graph, names = Graph(model), []
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        change = one(random, MUTATIONS)
        with contextlib.suppress(ValueError, IndexError):  # what an earlier change left nothing of
            change(graph, random)
            names.append(change.__name__)
    return names
