"""Rewrites a float ONNX graph whose weights lie on an int8 grid to ConvInteger and MatMulInteger.

This is the form that engines for sparse int8 weights take, and that needs no samples: each layer's input is quantized
when the model runs, over the range it has then, and everything between the layers stays float.

    x -> DynamicQuantizeLinear -> x_q, x_scale, x_zero_point
    ConvInteger(x_q, w, x_zero_point) -> Cast -> Mul(x_scale * w_scale) -> Add(bias)
"""

import numpy as np
from onnx import TensorProto, helper

from keras_sparse.exporting.onnx_graph import Graph, attribute
from keras_sparse.int8 import REDUCED_MAX, WEIGHT_MAX, on_grid

FORMS = {"Conv": "ConvInteger", "MatMul": "MatMulInteger", "Gemm": "MatMulInteger"}
WEIGHTED = (*FORMS, "ConvTranspose", "LSTM", "GRU", "RNN")


def to_integer(proto, unread=(), reduce_range=False):
    """Rewrites a float `ModelProto` that `onnx.build` made, in place.

    Args:
        unread: weights, in the axis order of ONNX, of layers inside models that cannot be read: how far rounding their
            inputs would move the model is not known, so they stay float.
        reduce_range: whether the weights of matrix products lie on the grid of [-64, 64].

    Weights are int8 with zero point 0 (not stored), their scales per output channel; ConvInteger takes one zero point
    for all channels only. Biases are added in float.

    Returns:
        {operation: reason} of the layers that compute in float.
    """
    graph = Graph(proto.graph)
    rewrite, reasons = _Rewrite(graph, unread, REDUCED_MAX if reduce_range else WEIGHT_MAX), {}
    for node in [node for node in graph.nodes if node.op_type in WEIGHTED]:
        reason = rewrite.run(node)
        if reason is not None:
            reasons[node.name] = reason
    graph.finish()
    return reasons


class _Rewrite:
    def __init__(self, graph, unread, in_products):
        self.graph, self.quantized, self.stored, self.unread = graph, {}, {}, unread
        self.in_products = in_products  # the largest weight there

    def run(self, node):
        """Rewrites `node`, or says why not."""
        weights = self.graph.constants.get(node.input[1])
        if node.op_type not in FORMS:
            split = None if weights is None or node.op_type != "ConvTranspose" else on_grid(weights, (1,))
            if split is not None:
                self.dequantize(node, *split)
            return f"ONNX has no {node.op_type} of integers{', its int8 weights are made float' if split else ''}"
        if weights is None:
            return "its second input is no constant"
        plain = [attribute(node, name, 0) for name in ("transA", "transB")] == [0, 0]
        if not plain or any(attribute(node, name, 1.0) != 1.0 for name in ("alpha", "beta")):
            return "its inputs are transposed or scaled"
        bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
        convolution = node.op_type == "Conv"
        axis = 0 if convolution else weights.ndim - 1
        split = on_grid(weights, (axis,), WEIGHT_MAX if convolution else self.in_products)
        if split is None:
            return "its weights do not lie on an int8 grid of one scale per output channel"
        if any(each.shape == weights.shape and np.allclose(each, weights) for each in self.unread):
            return "it is inside a model whose call cannot be read"
        self.rewrite(node, bias, axis, split, weights.ndim - 2 if convolution else 0)
        return None

    def rewrite(self, node, bias, axis, split, after_channels):
        """`split` are int8 values and their scales; `after_channels` counts the axes after that of the channels."""
        values, scale = split[0], split[1].ravel()
        kernel, out, name = node.input[1], node.output[0], node.name
        shape = (-1, *[1] * after_channels)
        source, source_scale, zero_point = self.input(node)
        if (kernel, axis) not in self.stored:  # a layer may be called many times
            # Scales have the axes of the output: (channels, 1, 1) for an image, (channels,) for a matrix.
            parts = (f"{kernel}/int", values), (f"{kernel}/scale", scale.reshape(shape))
            self.stored[kernel, axis] = [self.graph.constant(*part) for part in parts]
        weights, scales = self.stored[kernel, axis]
        inputs = [source, weights, zero_point]
        summed = f"{out}/unbiased" if bias else out
        steps = [
            helper.make_node("Cast", [f"{out}/sum"], [f"{out}/float"], name=f"{name}/cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", [source_scale, scales], [f"{out}/scale"], name=f"{name}/scale"),
            helper.make_node("Mul", [f"{out}/float", f"{out}/scale"], [summed], name=f"{name}/scaled"),
        ]
        if bias:
            added = self.graph.constant(f"{bias}/added", np.asarray(self.graph.constants[bias]).reshape(shape))
            steps.append(helper.make_node("Add", [summed, added], [out], name=f"{name}/bias"))
        attributes = [each for each in node.attribute if FORMS[node.op_type] == "ConvInteger"]
        node.ClearField("attribute")
        node.attribute.extend(attributes)
        self.graph.replace(node, FORMS[node.op_type], inputs)
        node.output[0] = f"{out}/sum"
        self.graph.after(node, *steps)

    def dequantize(self, node, values, scale):
        """Stores the weights of a transposed convolution as int8, and converts them before it."""
        kernel, scale = node.input[1], scale.ravel()
        parts = [self.graph.constant(f"{kernel}/{part}", v) for part, v in (("int", values), ("scale", scale))]
        zeros = self.graph.constant(f"{kernel}/zero_point", np.zeros(scale.shape, np.int8))
        made = f"{parts[0]}/dequantized"
        self.graph.before(node, helper.make_node("DequantizeLinear", [*parts, zeros], [made], name=made, axis=1))
        node.input[1] = made

    def input(self, node):
        """The names of the quantized input of `node`, its scale and its zero point; made once for all that read it."""
        name = node.input[0]
        if name not in self.quantized:
            parts = [f"{name}/{part}" for part in ("dynamic", "dynamic_scale", "dynamic_zero_point")]
            self.graph.before(node, helper.make_node("DynamicQuantizeLinear", [name], parts, name=parts[0]))
            self.quantized[name] = parts
        return self.quantized[name]
