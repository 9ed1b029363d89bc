"""Rewrites the float weights of an ONNX graph, which lie on an int8 grid, as int8 initializers with DequantizeLinear.

tf2onnx turns the FakeQuant of activations into QuantizeLinear/DequantizeLinear pairs, and leaves weights float. ONNX
Runtime uses its int8 kernels where weights are int8, biases int32 with scale `input scale * weight scale`, and inputs
and outputs have Q/DQ pairs; where one is missing, the layer runs in float, with conversions around it.
"""

import numpy as np
from onnx import helper, numpy_helper

from keras_sparse.int8 import LEVELS, WEIGHT_MAX

MOVES = ("MaxPool", "GlobalMaxPool", "Pad", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice")
"""Operations that only move values: their output has the Q/DQ pair of their input."""

GRID_TOLERANCE = 1e-5
"""Relative distance up to which folded weights count as lying on their int8 grid: a few roundings of float32."""


def quantize(graph):
    """Rewrites `graph` in place: folds batch norms and biases, and makes weights int8 and biases int32."""
    rewrite = _Rewrite(graph)
    rewrite.sink_reshapes()
    rewrite.fold_affine()
    rewrite.repeat_after_moves()
    rewrite.repeat_before_moves()
    rewrite.narrow_after_relu()
    rewrite.weights()
    rewrite.finish()


class _Rewrite:
    def __init__(self, graph):
        self.graph = graph
        self.constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.nodes = list(graph.node)
        self.outputs = {each.name for each in graph.output}

    def producer(self, name):
        return next((node for node in self.nodes if name in node.output), None)

    def users(self, name):
        return [node for node in self.nodes if name in node.input]

    def constant(self, name, values):
        """A new initializer, of that name or the next free one after it; returns its name."""
        number, unique = 1, name
        while unique in self.constants:
            number += 1
            unique = f"{name}_{number}"
        self.constants[unique] = values
        return unique

    def only_user(self, node, op_type):
        """The node of that type that alone uses the output of `node`, with a constant as its other input, or `None`."""
        users = self.users(node.output[0])
        alone = len(users) == 1 and users[0].op_type == op_type and node.output[0] not in self.outputs
        if not alone or not any(name in self.constants for name in users[0].input):
            return None
        return users[0]

    def other(self, node):
        return next(self.constants[name] for name in node.input if name in self.constants)

    def drop(self, node, into):
        """Removes `node`, whose output `into` now makes."""
        into.output[0] = node.output[0]
        self.nodes.remove(node)

    def sink_reshapes(self):
        """MatMul -> Reshape -> bias or ReLU becomes MatMul -> bias or ReLU -> Reshape: a Dense layer on many axes."""
        for node in [node for node in self.nodes if node.op_type == "MatMul"]:
            weights, users = self.constants.get(node.input[1]), self.users(node.output[0])
            if weights is None or weights.ndim != 2 or [user.op_type for user in users] != ["Reshape"]:
                continue
            reshape, channels = users[0], weights.shape[1]
            shape = self.constants.get(reshape.input[1])
            if shape is None or shape[-1] != channels:
                continue
            while (after := self.elementwise(reshape, channels)) is not None:
                above, between, below = reshape.input[0], reshape.output[0], after.output[0]
                after.input[list(after.input).index(between)] = above
                after.output[0], reshape.input[0], reshape.output[0] = between, between, below
                at = self.nodes.index(after)
                self.nodes.remove(reshape)
                self.nodes.insert(at, reshape)

    def elementwise(self, node, channels):
        """The ReLU, or the Mul or Add of one constant per channel, that alone uses the output of `node`, or `None`."""
        for op_type in ("Mul", "Add"):
            user = self.only_user(node, op_type)
            if user is not None and _per_channel(self.other(user), channels, 0) is not None:
                return user
        users = self.users(node.output[0])
        alone = len(users) == 1 and node.output[0] not in self.outputs
        return users[0] if alone and users[0].op_type in ("Relu", "Clip") else None

    def fold_affine(self):
        """Multiplications and additions by one constant per channel become part of the weights and bias before them."""
        for node in [node for node in self.nodes if node.op_type in ("Conv", "Gemm", "MatMul")]:
            weights = self.constants.get(node.input[1])
            if weights is None:
                continue
            axis, after_channels = (0, weights.ndim - 2) if node.op_type == "Conv" else (weights.ndim - 1, 0)
            channels = weights.shape[axis]
            bias = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(channels, np.float32)
            folded = False
            while (user := self.only_user(node, "Mul") or self.only_user(node, "Add")) is not None:
                factor = _per_channel(self.other(user), channels, after_channels)
                if factor is None:
                    break
                if user.op_type == "Mul":
                    weights = weights * np.expand_dims(factor, [each for each in range(weights.ndim) if each != axis])
                    bias = bias * factor
                else:
                    bias = bias + factor
                self.drop(user, node)
                folded = True
            if folded:
                inputs = [self.constant(f"{node.name}/weights", weights), self.constant(f"{node.name}/bias", bias)]
                joined = "Gemm" if node.op_type == "MatMul" else node.op_type
                self.replace(node, joined, [node.input[0], *inputs])

    def replace(self, node, op_type, inputs):
        """Makes `node` an operation of that type on those inputs, its attributes and output kept."""
        node.op_type = op_type
        del node.input[:]
        node.input.extend(inputs)

    def repeat_after_moves(self):
        """DequantizeLinear -> move becomes DequantizeLinear -> move -> QuantizeLinear -> DequantizeLinear."""
        for move in [node for node in self.nodes if node.op_type in MOVES]:
            before = self.producer(move.input[0])
            users = self.users(move.output[0])
            if before is None or before.op_type != "DequantizeLinear" or not users:
                continue
            if any(user.op_type == "QuantizeLinear" for user in users):
                continue
            raw, out = f"{move.output[0]}/raw", move.output[0]
            move.output[0] = raw
            at = self.nodes.index(move) + 1
            self.nodes[at:at] = self.pair(raw, before.input[1:], out)

    def repeat_before_moves(self):
        """An operation -> move -> QuantizeLinear has that Q/DQ pair before the move, too."""
        for move in [node for node in self.nodes if node.op_type in MOVES]:
            before, users = self.producer(move.input[0]), self.users(move.output[0])
            inside = before is not None and before.op_type not in ("DequantizeLinear", *MOVES)
            if not inside or len(users) != 1 or users[0].op_type != "QuantizeLinear":
                continue
            raw = move.input[0]
            if len(self.users(raw)) != 1 or raw in self.outputs:
                continue
            move.input[0] = f"{raw}/before"
            at = self.nodes.index(move)
            self.nodes[at:at] = self.pair(raw, users[0].input[1:], move.input[0])

    def narrow_after_relu(self):
        """A ReLU or ReLU6 before a range that reaches beyond it gets a range of its own, from 0 to where both end.

        ONNX Runtime fuses the activation only where the range cuts off what it does; else the layer runs in float.
        Ranges are wider where they are shared, in a concatenation.
        """
        for node in [node for node in self.nodes if node.op_type in ("Relu", "Clip")]:
            users = self.users(node.output[0])
            if len(users) != 1 or users[0].op_type != "QuantizeLinear":
                continue
            scale, zero_point = (self.constants[name] for name in users[0].input[1:3])
            top = float(scale) * (LEVELS - int(zero_point))
            limit = float(self.constants[node.input[2]]) if node.op_type == "Clip" else np.inf
            if zero_point == 0 and top <= limit * (1 + GRID_TOLERANCE):
                continue
            name, out = node.name, node.output[0]
            node.output[0] = f"{out}/raw"
            inputs = [
                self.constant(f"{name}/scale", np.asarray(min(top, limit) / LEVELS, np.float32)),
                self.constant(f"{name}/zero_point", np.asarray(0, np.uint8)),
            ]
            at = self.nodes.index(node) + 1
            self.nodes[at:at] = self.pair(node.output[0], inputs, out)

    def pair(self, raw, parameters, out):
        """QuantizeLinear and DequantizeLinear from `raw` to `out`, with that scale and zero point."""
        quantized = f"{out}/quantized"
        return [
            helper.make_node("QuantizeLinear", [raw, *parameters], [quantized], name=f"{out}/quantize"),
            helper.make_node("DequantizeLinear", [quantized, *parameters], [out], name=f"{out}/dequantize"),
        ]

    def weights(self):
        """Weights between a DequantizeLinear and a QuantizeLinear become int8, and their biases int32."""
        for node in [node for node in self.nodes if node.op_type in ("Conv", "MatMul", "Gemm")]:
            before = self.producer(node.input[0])
            values = self.constants.get(node.input[1])
            if values is None or before is None or before.op_type != "DequantizeLinear":
                continue
            axis = 0 if node.op_type == "Conv" else values.ndim - 1
            split = on_grid(values, axis)
            if split is None:
                continue
            weights, scale = split
            if len(node.input) > 2:
                bias = self.constants[node.input[2]]
                step = (self.constants[before.input[1]] * scale).astype(np.float32)
                rounded = np.clip(np.rint(bias / step), -(2.0**31) + 128, 2.0**31 - 128).astype(np.int32)
                node.input[2] = self.dequantized(node, node.input[2], rounded, step, 0)
            node.input[1] = self.dequantized(node, node.input[1], weights, scale, axis)

    def dequantized(self, node, name, values, scale, axis):
        """The output of a DequantizeLinear of a new initializer, put before `node`."""
        stored = self.constant(f"{name}/int", values)
        scales = self.constant(f"{name}/scale", scale)
        zeros = self.constant(f"{name}/zero_point", np.zeros(scale.shape, values.dtype))
        out = f"{stored}/dequantized"
        convert = helper.make_node("DequantizeLinear", [stored, scales, zeros], [out], name=out, axis=axis)
        self.nodes.insert(self.nodes.index(node), convert)
        return out

    def finish(self):
        """Writes the nodes back, and those constants that are still used."""
        used = {name for node in self.nodes for name in node.input}
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(
            numpy_helper.from_array(np.asarray(values, order="C"), name)
            for name, values in self.constants.items()
            if name in used
        )


def _per_channel(factor, channels, after):
    """`factor` as a vector of one value per channel, where `after` axes follow that of the channels, else `None`."""
    if factor.size == 1:
        return np.full(channels, factor.ravel()[0], np.float32)
    axis = factor.ndim - 1 - after
    fits = axis >= 0 and factor.size == channels == factor.shape[axis]
    return factor.ravel() if fits else None


def on_grid(values, axis):
    """`(int8 values, float32 scales)` of weights that lie on a symmetric grid per channel along `axis`, else `None`."""
    others = tuple(each for each in range(values.ndim) if each != axis)
    peak = np.abs(values).max(axis=others, keepdims=True)
    scale = np.where(peak > 0, peak / WEIGHT_MAX, 1.0).astype(np.float32)
    levels = values / scale
    rounded = np.rint(levels)
    if np.abs(levels - rounded).max(initial=0.0) > GRID_TOLERANCE * WEIGHT_MAX:
        return None
    return rounded.astype(np.int8), scale.ravel()
