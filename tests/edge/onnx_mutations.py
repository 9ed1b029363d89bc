"""Changes to an int8 `.onnx` model that may or may not leave it sound: what a reader of its layers must bear."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.edge.mutations import NUMBERS, SCALES, one

SIZES = (0, 1, 2, 3, 4, 5, 8, 16, 17, 33, 64, -1, 255, 40000, 2**24, 2**31 - 1, 2**31, 2**40, 2**62)
STEPS = (*SCALES, 1e-45, 1e-40, -1e-45, -0.0, 3e38, float("-inf"), 2.0**-126)
TYPES = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.FLOAT, TensorProto.INT64,
         TensorProto.FLOAT16, TensorProto.INT16, TensorProto.INT4, TensorProto.DOUBLE)  # fmt: skip
KINDS = ("Conv", "Gemm", "MatMul", "Relu", "Clip", "Add", "MaxPool", "Identity", "QuantizeLinear", "DequantizeLinear",
         "ConvTranspose", "QLinearConv", "Flatten", "Sigmoid", "Transpose")  # fmt: skip
ATTRIBUTES = {
    "auto_pad": ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "", "OTHER"),
    "group": (0, 1, 2, 4, 8, -1),
    "dilations": ([1, 1], [2, 2], [0, 1], [1], [1, 1, 1], []),
    "strides": ([1, 1], [2, 1], [3, 3], [0, 1], [-1, 1], [2**31, 1], [1], [], [2**62, 1]),
    "pads": ([0, 0, 0, 0], [1, 1, 1, 1], [2, 0, 0, 1], [-1, 0, 0, 0], [2**31, 0, 0, 0], [1, 1], []),
    "kernel_shape": ([1, 1], [3, 3], [0, 0], [2, 1], [-1, 1], [3], []),
    "alpha": (0.0, 1.0, 0.5, -1.0, float("nan")),
    "beta": (0.0, 1.0, 2.0),
    "transA": (0, 1, 2),
    "transB": (0, 1, -1),
    "axis": (0, 1, -1, -4, 2, 3, 7),
    "block_size": (0, 1, 4, -1),
    "saturate": (0, 1),
    "output_dtype": (0, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16),
    "perm": ([0, 1, 2, 3], [0, 2, 3, 1], [1, 0], [0, 0]),
}


def _constants(graph, kinds=None):
    return [each for each in graph.initializer if kinds is None or each.data_type in kinds]


def _put(graph, old, values):
    """Gives a constant other values: of another shape, or of another type, too."""
    old.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), old.name))


def _find(graph, name):
    return next((each for each in graph.initializer if each.name == name), None)


def _values(graph):
    """Names of all that a node could read."""
    found = [each.name for each in (*graph.input, *graph.initializer)]
    return found + [name for node in graph.node for name in node.output]


def _quantizers(graph):
    return [each for each in graph.node if each.op_type in ("QuantizeLinear", "DequantizeLinear")]


def attribute(graph, random):
    layers = [each for each in graph.node if each.op_type in ("Conv", "Gemm", "MatMul", "Clip")]
    node = one(random, layers if layers and random.integers(3) else graph.node)
    if node.attribute and random.integers(6) == 0:
        del node.attribute[int(random.integers(len(node.attribute)))]
        return
    known = {"Conv": 6, "Gemm": 4}.get(node.op_type)
    names = [*ATTRIBUTES]
    if known and random.integers(5):
        names = names[:6] if node.op_type == "Conv" else names[6:10]
    elif node.op_type.endswith("Linear") and random.integers(5):
        names = ["axis", "block_size", "saturate", "output_dtype"]
    name = one(random, names)
    kept = [each for each in node.attribute if each.name != name or random.integers(20) == 0]
    del node.attribute[:]
    value = one(random, ATTRIBUTES[name])
    if value == []:
        made = onnx.AttributeProto(name=name, type=onnx.AttributeProto.INTS)
    else:
        made = helper.make_attribute(name, value)
    node.attribute.extend([*kept, made])


def number(graph, random):
    """One number of an attribute that is there."""
    found = [each for node in graph.node for each in node.attribute if each.ints or each.type == each.INT]
    if not found:
        return
    each = one(random, found)
    value = one(random, (*NUMBERS, 2**40, 2**62, -(2**63)))
    if each.ints and random.integers(4):
        each.ints[int(random.integers(len(each.ints)))] = value
    elif each.ints:
        each.ints.append(value)
    else:
        each.i = value


def shape(graph, random):
    """What the file says about a shape, of its inputs and outputs or of a tensor inside."""
    ports = [*graph.input, *graph.output, *graph.value_info]
    if random.integers(3) == 0:
        name = one(random, [name for node in graph.node for name in node.output])
        rank, kind = int(random.integers(5)), one(random, TYPES[:4])
        said = [one(random, SIZES[:11]) if random.integers(3) else f"d{random.integers(3)}" for _ in range(rank)]
        graph.value_info.append(helper.make_tensor_value_info(name, kind, said))
        return
    port = one(random, ports)
    axes = port.type.tensor_type.shape.dim
    change = random.integers(6)
    if change == 0 and axes:
        del axes[int(random.integers(len(axes)))]
    elif change == 1:
        axes.add().dim_value = one(random, SIZES[:6])
    elif change == 2:
        port.type.tensor_type.ClearField("shape")
    elif axes:
        axis = one(random, axes)
        if change == 3:
            axis.dim_param = one(random, ("n", "m", "", "n"))
        elif change == 4:
            axis.Clear()
        else:
            axis.dim_value = one(random, SIZES)


def dtype(graph, random):
    """Another type: of a constant's values, of its bytes only, or of an input or output."""
    change = random.integers(3)
    if change == 0:
        one(random, [*graph.input, *graph.output]).type.tensor_type.elem_type = one(random, TYPES)
        return
    constant = one(random, graph.initializer)
    if change == 1:
        constant.data_type = one(random, TYPES)
        return
    kind = one(random, (np.int8, np.uint8, np.int32, np.float32, np.int64, np.float16, np.int16, np.float64))
    with np.errstate(all="ignore"):
        _put(graph, constant, numpy_helper.to_array(constant).astype(kind))


def unsigned_weights(graph, random):
    """Weights and zero points of uint8, around any value."""
    nodes = [node for node in _quantizers(graph) if _find(graph, node.input[0]) is not None]
    node = one(random, nodes)
    weights = _find(graph, node.input[0])
    if weights.data_type != TensorProto.INT8:
        return
    move = one(random, (128, 128, 120, 0, 255))
    _put(graph, weights, (numpy_helper.to_array(weights).astype(int) + move).clip(0, 255).astype(np.uint8))
    points = _find(graph, node.input[2]) if len(node.input) > 2 else None
    if points is not None:
        _put(graph, points, np.full(list(points.dims), move, np.uint8))


def scale(graph, random):
    node = one(random, _quantizers(graph))
    constant = _find(graph, node.input[1])
    if constant is None or constant.data_type != TensorProto.FLOAT:
        return
    values = np.array(numpy_helper.to_array(constant))
    change = random.integers(6)
    if change < 2 and values.size:
        values.reshape(-1)[int(random.integers(values.size))] = one(random, STEPS)
    elif change == 2:
        values[...] = one(random, STEPS)
    elif change == 3:
        values = np.resize(values, one(random, ((), (1,), (1, 1), (2,), (16,), (0,), (1, 16))))
    elif change == 4:
        values = values.reshape(-1)[:-1]
    else:
        values = (values * random.choice([1e-3, 0.1, 3, 10, 1e4])).astype(np.float32)
    _put(graph, constant, values)


def zero_point(graph, random):
    node = one(random, [each for each in _quantizers(graph) if len(each.input) > 2])
    constant = _find(graph, node.input[2])
    if constant is None:
        return
    values = np.array(numpy_helper.to_array(constant))
    change = random.integers(6)
    limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else None
    pick = one(random, (0, 1, 3, 127, 128, 255, -1, -127, -128))
    pick = np.clip(pick, limits.min, limits.max) if limits else pick
    if change < 2 and values.size:
        values.reshape(-1)[int(random.integers(values.size))] = pick
    elif change == 2:
        values[...] = pick
    elif change == 3:
        values = np.resize(values, one(random, ((), (1,), (1, 1), (2,), (16,), (0,))))
    elif change == 4:
        values = values.astype(one(random, (np.int8, np.uint8, np.int32, np.int16)))
    else:
        del node.input[2]
        return
    _put(graph, constant, values)


def constant(graph, random):
    """Other values of a shape of their own."""
    old = one(random, _constants(graph, TYPES[:4]))
    values = numpy_helper.to_array(old)
    sizes = list(values.shape)
    change = random.integers(5)
    if change == 0 and len(sizes) > 1:
        random.shuffle(sizes)
    elif change == 1 and sizes:
        sizes[int(random.integers(len(sizes)))] = one(random, SIZES[:12])
    elif change == 2:
        sizes.insert(int(random.integers(len(sizes) + 1)), one(random, SIZES[:4]))
    elif change == 3 and sizes:
        sizes.pop(int(random.integers(len(sizes))))
    if min(sizes, default=1) >= 0 and np.prod(sizes, dtype=np.int64) <= 2**20:
        _put(graph, old, np.resize(values, sizes))


def extremes(graph, random):
    """Weights and biases at the ends of their range, or of nothing but zeros, in some of the channels or in all."""
    old = one(random, _constants(graph, (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32)))
    values = np.array(numpy_helper.to_array(old))
    if values.size == 0:
        return
    limits = np.iinfo(values.dtype)
    pick = one(random, (limits.min, limits.max, limits.min + 1, 0, 1, 2**24 + 1 if limits.bits == 32 else 77))
    place = one(random, (..., slice(None, None, 2), slice(0, 1), slice(1, None)))
    if values.ndim or place is ...:
        values[place] = pick
    _put(graph, old, values)


def length(graph, random):
    """Bytes of a constant that are not as many as its shape says."""
    old = one(random, graph.initializer)
    data, change = old.raw_data, random.integers(5)
    if change == 0:
        old.raw_data = data[: int(random.integers(len(data) + 1))]
    elif change == 1:
        old.raw_data = data + bytes(int(random.integers(1, 64)))
    elif change == 2:
        old.ClearField("raw_data")
    elif old.dims:
        old.dims[int(random.integers(len(old.dims)))] = one(random, SIZES)
    else:
        old.dims.append(one(random, SIZES))


def optional(graph, random):
    """Inputs that are left out, or too many."""
    node, change = one(random, graph.node), random.integers(4)
    if change == 0 and node.input:
        node.input.pop()
    elif change == 1 and node.input:
        node.input[int(random.integers(len(node.input)))] = ""
    elif change == 2:
        node.input.append("")
    else:
        node.input.append(one(random, _values(graph)))


def names(graph, random):
    """One name for two things."""
    change, node = random.integers(5), one(random, graph.node)
    if change == 0:
        node.output[0] = one(random, graph.node).output[0]
    elif change == 1:
        graph.initializer.append(one(random, graph.initializer))
    elif change == 2:
        node.name = one(random, graph.node).name
    elif change == 3:
        one(random, graph.initializer).name = one(random, _values(graph))
    else:
        one(random, graph.output).name = one(random, _values(graph))


def wiring(graph, random):
    """An input from somewhere else, which may be behind it."""
    node = one(random, graph.node)
    if node.input:
        node.input[int(random.integers(min(len(node.input), 3)))] = one(random, _values(graph))


def same_input(graph, random):
    """Two nodes of one kind read the same: scales, zero points, weights, activations."""
    node = one(random, graph.node)
    other = one(random, [each for each in graph.node if each.op_type == node.op_type])
    place = int(random.integers(max(1, min(len(node.input), len(other.input)))))
    node.input[place] = other.input[place]


def order(graph, random):
    nodes, change = list(graph.node), random.integers(5)
    first = int(random.integers(len(nodes)))
    if change == 0:
        random.shuffle(nodes)
    elif change == 1:
        nodes.reverse()
    elif change == 2:
        nodes.append(nodes[first])
    else:
        gone = nodes.pop(first)
        for node in nodes if change == 3 else ():  # what read it reads its input
            for place, name in enumerate(node.input):
                if name in gone.output:
                    node.input[place] = gone.input[0]
    del graph.node[:]
    graph.node.extend(nodes)


def kind(graph, random):
    node = one(random, graph.node)
    if random.integers(4):
        node.op_type = one(random, KINDS)
    else:
        node.domain = one(random, ("ai.onnx", "com.microsoft", "nobody"))


def ports(graph, random):
    """Constants that are inputs, tensors inside that are outputs, outputs that are left out."""
    change = random.integers(5)
    if change == 0:
        each = one(random, graph.initializer)
        graph.input.append(helper.make_tensor_value_info(each.name, each.data_type, list(each.dims)))
    elif change == 1 and len(graph.output) > 1:
        graph.output.pop(0)
    else:
        name, port = one(random, _values(graph)), onnx.ValueInfoProto()
        port.CopyFrom(graph.output[0])
        port.name = name
        port.type.tensor_type.ClearField("shape")
        q = {name for node in graph.node if node.op_type == "QuantizeLinear" for name in node.output}
        port.type.tensor_type.elem_type = TensorProto.UINT8 if name in q else TensorProto.FLOAT
        graph.output.append(port)


def computed(graph, random):
    """A constant that is a node's: Constant, or Identity of it."""
    each, new = one(random, graph.initializer), onnx.TensorProto()
    new.CopyFrom(each)
    graph.initializer.remove(each)
    if random.integers(2):
        graph.node.insert(0, helper.make_node("Constant", [], [new.name], value=new))
    else:
        name = new.name
        new.name = f"{name}_before"
        graph.initializer.append(new)
        graph.node.insert(0, helper.make_node("Identity", [new.name], [name]))


def known_activation(graph, random):
    """A tensor inside whose values the file has."""
    node = one(random, [each for each in _quantizers(graph) if _find(graph, each.input[0]) is None])
    node.input[0] = "known"
    sizes = [int(random.integers(1, 9)) for _ in range(int(random.choice([2, 4, 4])))]
    kind_ = np.float32 if node.op_type == "QuantizeLinear" else one(random, (np.uint8, np.uint8, np.int8))
    graph.initializer.append(numpy_helper.from_array(random.integers(0, 99, sizes).astype(kind_), "known"))


def empty(graph, random):
    """A tensor without values."""
    if random.integers(2):
        each = one(random, graph.initializer)
        sizes = list(each.dims) or [1]
        sizes[int(random.integers(len(sizes)))] = 0
        each.CopyFrom(helper.make_tensor(each.name, each.data_type, sizes, b"", raw=True))
        return
    axes = one(random, graph.input).type.tensor_type.shape.dim
    if axes:
        one(random, axes).dim_value = 0


def between(graph, random):
    """A node more on some way."""
    node = one(random, graph.node)
    if not node.input:
        return
    place = int(random.integers(min(2, len(node.input))))
    name = f"between_{len(graph.node)}"
    made = one(random, ("Identity", "Relu", "Sigmoid", "Transpose", "Clip", "Abs"))
    graph.node.insert(list(graph.node).index(node), helper.make_node(made, [node.input[place]], [name], name=name))
    node.input[place] = name


def twice(graph, random):
    """A second node of the same, which others read instead of it or beside it."""
    node = one(random, graph.node)
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name, copy.output[0] = f"{node.name}_again", f"{node.output[0]}_again"
    readers = [each for each in graph.node if node.output[0] in each.input]
    graph.node.insert(list(graph.node).index(node), copy)
    for reader in readers:
        if random.integers(2):
            reader.input[list(reader.input).index(node.output[0])] = copy.output[0]
    if random.integers(3) == 0:
        graph.output.append(helper.make_tensor_value_info(copy.output[0], TensorProto.FLOAT, None))


def branch(graph, random):
    """A node inside of an If or a Loop, which reads what is around it."""
    place = int(random.integers(len(graph.node)))
    node = onnx.NodeProto()
    node.CopyFrom(graph.node[place])
    if len(node.output) != 1 or node.op_type in ("If", "Loop"):
        return
    out = node.output[0]
    node.output[0] = f"{out}_inside"
    typed = one(random, (TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.UINT8))
    port = helper.make_tensor_value_info(node.output[0], typed, None)
    if random.integers(3):
        body = helper.make_graph([node], "then", [], [port])
        made = helper.make_node("If", ["yes"], [out], then_branch=body, else_branch=body, name=f"if_{place}")
        constants = [numpy_helper.from_array(np.array(bool(random.integers(2))), "yes")]
    else:
        carried = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
        again = helper.make_tensor_value_info("again", TensorProto.BOOL, [])
        turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
        nodes = [node, helper.make_node("Identity", ["go"], ["again"])]
        body = helper.make_graph(nodes, "body", [turn, carried], [again, port])
        made = helper.make_node("Loop", ["turns", "yes"], [out], body=body, name=f"loop_{place}")
        constants = [numpy_helper.from_array(np.array(True), "yes"), numpy_helper.from_array(np.array(1), "turns")]
    graph.node[place].CopyFrom(made)
    graph.initializer.extend(constants)


def version(model, random):
    """Of the operators and of the file."""
    if random.integers(3):
        model.opset_import[0].version = int(random.choice([9, 10, 11, 13, 15, 17, 18, 19, 21, 22, 23, 99]))
    else:
        model.ir_version = int(random.choice([3, 4, 7, 8, 9, 10, 11, 99]))


MUTATIONS = (
    attribute, attribute, attribute, number, shape, shape, dtype, unsigned_weights, scale, scale, scale, zero_point,
    zero_point, constant, constant, extremes, extremes, length, optional, names, wiring, same_input, order, kind, ports,
    ports, computed, known_activation, empty, between, between, twice, branch, branch, version,
)  # fmt: skip


def mutate(model, random):
    """Changes the model in one to three ways; returns their names."""
    made = []
    for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
        change = one(random, MUTATIONS)
        with contextlib.suppress(ValueError, IndexError, TypeError):  # what an earlier change left nothing of
            change(model if change is version else model.graph, random)
            made.append(change.__name__)
    return made
