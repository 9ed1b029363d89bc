"""ONNX Runtime on an x86-64 processor without VNNI, emulated on any other: int8 layers whose sums it would cut off.

The graph is the one that ONNX Runtime makes of the file. Layers in which a sum of two products can leave 16 bits
(`saturation.py`) are computed here in NumPy, all that lies between them by ONNX Runtime. That is the arithmetic of its
kernels as measured on AMD Zen 3 with ONNX Runtime 1.31; depthwise convolutions of one output a channel and ConvInteger
add in 32 bits.
"""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from keras_sparse.runtime import products, saturation
from keras_sparse.runtime.onnxruntime import Session as Native
from keras_sparse.runtime.products import SLOTS, attribute, matrices


def natively():
    """Whether ONNX Runtime cuts off sums of two products on this processor."""
    weights = np.full((2, 16), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "two_products",
        [_declared("x", np.dtype(np.uint8))],
        [helper.make_empty_tensor_value_info("y")],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return bool(session.run(None, {"x": np.full((1, 2), saturation.BYTE, np.uint8)})[0].max() <= saturation.HIGH)


class Session:
    """A `.onnx` file, loaded; `run` takes any number of items."""

    def __init__(self, path, threads=1):
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "optimized.onnx")
            self._native = Native(path, threads, optimized=made)
            self._graph = _Graph(onnx.load(str(made)))
        self.inputs, self.outputs = self._native.inputs, self._native.outputs

    def run(self, arrays):
        """One array per input, items along the first axis, as a list or by name -> one array per output."""
        known = dict(zip([port.name for port in self.inputs], self._native.checked(arrays), strict=True))
        for node in self._graph.overflowing:
            known[node.output[0]] = self._graph.computed(node, known)
        return self._graph.values([port.name for port in self.outputs], known)


class _Graph:
    def __init__(self, model):
        self.model, self.nodes = model, list(model.graph.node)
        self.constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.overflowing = products.overflowing(model.graph)
        if inside := [node for node in self.overflowing if id(node) not in set(map(id, self.nodes))]:
            raise ValueError(f"{products.weights(inside[0])} is used in a branch or a loop, and those are not emulated")

    def values(self, names, known):
        """The values of tensors, those of others being known."""
        made = [name for name in names if name not in known]
        nodes, used = self._before(made, known)
        found = dict(known)
        if made:
            graph = helper.make_graph(
                nodes,
                "part",
                [_declared(name, known[name].dtype) for name in known if name in used],
                [helper.make_empty_tensor_value_info(name) for name in made],
                [each for each in self.model.graph.initializer if each.name in used],
            )
            part = helper.make_model(graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version)
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.intra_op_num_threads, options.log_severity_level = 1, 3
            session = onnxruntime.InferenceSession(
                part.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            given = {each.name: known[each.name] for each in session.get_inputs()}
            found.update(zip(made, session.run(made, given), strict=True))
        return [found[name] for name in names]

    def _before(self, names, known):
        """The nodes that make these tensors from known ones, in order, and all names that they use."""
        wanted, used, todo = set(), set(names), list(names)
        while todo:
            node = self.makers.get(todo.pop())
            if node is not None and id(node) not in wanted:
                wanted.add(id(node))
                read = {*node.input, *_taken_inside(node)}
                used |= read
                todo += [name for name in read if name not in known]
        return [node for node in self.nodes if id(node) in wanted], used

    def computed(self, node, known):
        """The output of an operation whose sums are cut off."""
        slots = SLOTS[node.op_type]
        read = [name for name in node.input if name and name not in self.constants]
        given = dict(zip(read, self.values(read, known), strict=True)) | self.constants
        inputs = [given[name] if name else None for name in node.input]
        inputs += [None] * (10 - len(inputs))
        data, weights = inputs[slots.data], inputs[slots.weights]
        scale = np.float32(1)
        if slots.zero is None:
            data, scale, zero = _quantized(data)
        else:
            zero = 0 if inputs[slots.zero] is None else int(np.ravel(inputs[slots.zero])[0])
        if data.dtype == np.int8:  # it reads signed bytes as unsigned ones, 128 higher
            data, zero = (data.astype(np.int16) + 128).astype(np.uint8), zero + 128
        sums = _sums(node, data, zero, weights, inputs[slots.weights_zero])
        return _scaled(node, sums, inputs, slots, scale)


def _sums(node, data, zero, weights, weights_zero):
    """The integer sums of a convolution or product, with the channels last."""
    shift = 0 if weights_zero is None else np.ravel(weights_zero).astype(np.int64)
    found = []
    if "Conv" not in node.op_type and weights.ndim > 2:
        raise ValueError(f"{products.weights(node)} has {weights.ndim} axes, and batches of weights are not emulated")
    parts = _rows(node, data, zero, weights) if "Conv" in node.op_type else [_matrix_rows(node, data)]
    for rows, matrix in zip(parts, matrices(node, weights), strict=True):
        flat = rows.reshape(-1, rows.shape[-1])
        total = flat.sum(1, dtype=np.int64)[:, None]
        shifts = shift if np.size(shift) in (1, matrix.shape[1]) else shift[:1]
        product = saturation.product(flat, matrix)
        product += shifts * (zero * len(matrix) - total) - zero * matrix.sum(0, dtype=np.int64)
        found.append(product.reshape(*rows.shape[:-1], matrix.shape[1]))
    return np.concatenate(found, -1)


def _scaled(node, sums, inputs, slots, scale):
    """What an operation gives for its integer sums."""
    channels_last = "Conv" not in node.op_type or attribute(node, "channels_last", 0)
    bias = None if slots.bias is None else inputs[slots.bias]
    if slots.output is None and not slots.scales:
        return _placed(sums.astype(np.int32), channels_last)
    if bias is not None and bias.dtype == np.int32:
        sums, bias = sums + bias, None
    steps = [np.ravel(inputs[place]).astype(np.float32) for place in slots.scales]
    if slots.output is None or inputs[slots.output[0]] is None:
        scale = np.float32(attribute(node, "alpha", 1.0)) * scale
        out = sums.astype(np.float32) * (scale * np.prod(np.broadcast_arrays(*steps, np.float32(1)), 0))
        return _placed(out if bias is None else out + bias, channels_last)
    step, zero = (inputs[place] for place in slots.output)
    factor = np.float32(attribute(node, "alpha", 1.0)) * (steps[0] * steps[1] / np.float32(step)).astype(np.float32)
    kind = np.iinfo(zero.dtype)
    rounded = np.rint(sums.astype(np.float32) * factor) + np.float32(int(np.ravel(zero)[0]))
    return _placed(np.clip(rounded, kind.min, kind.max).astype(zero.dtype), channels_last)


def _quantized(values):
    """uint8 values, their scale and zero point, as DynamicQuantizeLinear has them."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = np.float32((high - low) / saturation.BYTE) if high > low else np.float32(1)
    zero = int(np.clip(np.rint(np.float32(-low) / scale), 0, saturation.BYTE))
    return np.clip(np.rint(values / scale) + zero, 0, saturation.BYTE).astype(np.uint8), scale, zero


def _matrix_rows(node, data):
    return data.T if attribute(node, "transA", 0) else data


def _rows(node, data, zero, weights):
    """What each output of a convolution reads, `(items, *positions, inputs)` for each group; `zero` pads."""
    if not attribute(node, "channels_last", 0):
        data = np.moveaxis(data, 1, -1)
    sizes, rank = weights.shape[2:], weights.ndim - 2
    dilations, strides = (attribute(node, name, [1] * rank) for name in ("dilations", "strides"))
    spans = [(size - 1) * dilation + 1 for size, dilation in zip(sizes, dilations, strict=True)]
    pads = _pads(node, data.shape[1:-1], spans, strides)
    data = np.pad(data, [(0, 0), *pads, (0, 0)], constant_values=zero)
    windows = np.lib.stride_tricks.sliding_window_view(data, spans, tuple(range(1, rank + 1)))
    windows = windows[
        (slice(None), *(slice(None, None, s) for s in strides), slice(None), *(slice(None, None, d) for d in dilations))
    ]
    windows = np.moveaxis(windows, rank + 1, -1)  # (items, *positions, *kernel positions, channels)
    groups = np.split(windows, attribute(node, "group", 1), -1)
    return [each.reshape(*each.shape[: rank + 1], -1) for each in groups]


def _pads(node, shape, spans, strides):
    kind = attribute(node, "auto_pad", b"NOTSET")
    if kind in (b"SAME_UPPER", b"SAME_LOWER"):
        totals = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(shape, strides, spans, strict=True)]
        halves = [(total // 2, total - total // 2) for total in totals]
        return halves if kind == b"SAME_UPPER" else [pair[::-1] for pair in halves]
    pads = attribute(node, "pads", [0] * 2 * len(spans)) if kind == b"NOTSET" else [0] * 2 * len(spans)
    return list(zip(pads[: len(spans)], pads[len(spans) :], strict=True))


def _placed(values, channels_last):
    return np.ascontiguousarray(values if channels_last else np.moveaxis(values, -1, 1))


def _declared(name, dtype):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), None)


def _taken_inside(node):
    """Names that the graphs inside a node use; some of them are those graphs' own."""
    for each in node.attribute:
        if each.HasField("g"):
            for inner in each.g.node:
                yield from inner.input
                yield from _taken_inside(inner)
            yield from (value.name for value in each.g.output)
