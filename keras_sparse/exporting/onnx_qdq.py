"""Rewrites the float weights of an ONNX graph, which lie on an int8 grid, as int8 initializers with DequantizeLinear.

tf2onnx turns the FakeQuant of activations into QuantizeLinear/DequantizeLinear pairs, and leaves weights float. ONNX
Runtime uses its int8 kernels where weights are int8, biases int32 with scale `input scale * weight scale`, and inputs
and outputs have Q/DQ pairs; where one is missing, the layer runs in float, with conversions around it.
"""

import numpy as np
from onnx import helper

from keras_sparse.exporting import reduced
from keras_sparse.exporting.onnx_graph import Graph, attribute
from keras_sparse.int8 import GRID_TOLERANCE, LEVELS, WEIGHT_MAX, on_grid

MOVES = ("MaxPool", "GlobalMaxPool", "Pad", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Slice")
"""Operations that only move values: their output has the Q/DQ pair of their input."""


def quantize(graph, reduce_range=False):
    """Rewrites `graph`, which `onnx_fold.fold` has gone through, in place: weights become int8, and biases int32.

    With `reduce_range`, weights lie on the grids that `reduced.largest_at` says.
    """
    rewrite = _Rewrite(graph)
    rewrite.narrow_after_relu()
    rewrite.repeat_after_moves()
    rewrite.repeat_before_moves()
    rewrite.weights(reduce_range)
    rewrite.finish()


class _Rewrite(Graph):
    def __init__(self, proto):
        super().__init__(proto)
        self.made = {}  # name of float constants -> output of their DequantizeLinear, values, scales

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
        """The range after a ReLU or ReLU6 goes from 0 to where both end, where it reached beyond that.

        ONNX Runtime fuses the activation only where the range cuts off what it does; else the layer runs in float.
        Ranges are wider where they are shared, in a concatenation; ONNX's takes inputs of different ranges.
        """
        for node in [node for node in self.nodes if node.op_type in ("Relu", "Clip")]:
            quantize = self.only_user(node, "QuantizeLinear")
            if quantize is None:
                continue
            scale, zero_point = (self.constants[name] for name in quantize.input[1:3])
            top = float(scale) * (LEVELS - int(zero_point))
            limit = float(self.constants[node.input[2]]) if node.op_type == "Clip" else np.inf
            if zero_point == 0 and top <= limit * (1 + GRID_TOLERANCE):
                continue
            narrow = [
                self.constant(f"{node.name}/scale", np.asarray(min(top, limit) / LEVELS, np.float32)),
                self.constant(f"{node.name}/zero_point", np.asarray(0, np.uint8)),
            ]
            for each in (quantize, *self.dequantized_by(quantize)):
                self.replace(each, each.op_type, [each.input[0], *narrow])

    def dequantized_by(self, quantize):
        """The DequantizeLinear nodes that read what `quantize` gives, as it is or moved."""
        for user in self.users(quantize.output[0]):
            if user.op_type == "DequantizeLinear":
                yield user
            else:
                yield from self.dequantized_by(user)

    def pair(self, raw, parameters, out):
        """QuantizeLinear and DequantizeLinear from `raw` to `out`, with that scale and zero point."""
        quantized = f"{out}/quantized"
        return [
            helper.make_node("QuantizeLinear", [raw, *parameters], [quantized], name=f"{out}/quantize"),
            helper.make_node("DequantizeLinear", [quantized, *parameters], [out], name=f"{out}/dequantize"),
        ]

    def weights(self, reduce_range):
        """Weights between a DequantizeLinear and a QuantizeLinear become int8, and their biases int32."""
        for node in [node for node in self.nodes if node.op_type in ("Conv", "MatMul", "Gemm")]:
            before = self.producer(node.input[0])
            values = self.constants.get(node.input[1])
            if values is None or before is None or before.op_type != "DequantizeLinear":
                continue
            axis = 0 if node.op_type == "Conv" else values.ndim - 1
            most = reduced.largest_at(node, values, attribute(node, "group", 1)) if reduce_range else WEIGHT_MAX
            split = on_grid(values, (axis,), most)
            if split is None:
                continue
            weights, scale = split[0], split[1].ravel()
            if len(node.input) > 2:
                bias = self.constants[node.input[2]]
                step = (self.constants[before.input[1]] * scale).astype(np.float32)
                rounded = np.clip(np.rint(bias / step), -(2.0**31) + 128, 2.0**31 - 128).astype(np.int32)
                node.input[2] = self.dequantized(node, node.input[2], rounded, step, 0)
            node.input[1] = self.dequantized(node, node.input[1], weights, scale, axis)

    def dequantized(self, node, name, values, scale, axis):
        """The output of a DequantizeLinear of a new initializer, put before `node`; one for all who have the same."""
        before = self.made.get(name)
        if before is not None and all(np.array_equal(a, b) for a, b in zip(before[1:], (values, scale), strict=True)):
            return before[0]
        stored = self.constant(f"{name}/int", values)
        scales = self.constant(f"{name}/scale", scale)
        zeros = self.constant(f"{name}/zero_point", np.zeros(scale.shape, values.dtype))
        out = f"{stored}/dequantized"
        convert = helper.make_node("DequantizeLinear", [stored, scales, zeros], [out], name=out, axis=axis)
        self.nodes.insert(self.nodes.index(node), convert)
        self.made[name] = out, values, scale
        return out
