"""Writes what only moves int8 values, and for which ONNX Runtime looks for no int8 kernel, in a form that it has.

A Pad or a GlobalMaxPool between DequantizeLinear and QuantizeLinear runs in float, with conversions around it.
"""

import numpy as np
import onnx

from keras_sparse.exporting.onnx_graph import Graph, attribute, set_attribute


def move_integers(proto):
    """Rewrites the graph of an int8 model in place, before its moves are quantized."""
    sizes = {
        each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim]
        for each in onnx.shape_inference.infer_shapes(proto).graph.value_info
    }
    graph = Graph(proto.graph)
    for node in list(graph.nodes):
        if node.op_type == "Pad":
            pad_integers(graph, node)
        elif node.op_type == "GlobalMaxPool" and all(sizes.get(node.input[0], [0])[2:] or [0]):
            graph.replace(node, "MaxPool", node.input)
            set_attribute(node, "kernel_shape", sizes[node.input[0]][2:])
    graph.finish()


def pad_integers(graph, pad):
    """DequantizeLinear -> Pad with zeros becomes Pad with the zero point -> DequantizeLinear."""
    convert = graph.producer(pad.input[0])
    zeros = len(pad.input) < 3 or not pad.input[2] or not np.any(graph.constants.get(pad.input[2], 1))
    known = convert is not None and convert.op_type == "DequantizeLinear" and len(convert.input) > 2
    if not known or not zeros or len(pad.input) > 3 or attribute(pad, "mode", b"constant") != b"constant":
        return
    if graph.producer(convert.input[0]) is None or pad.output[0] in graph.outputs:
        return  # a weight, or an output of the graph
    own = onnx.helper.make_node("DequantizeLinear", [], [pad.output[0]], name=f"{pad.name}/dequantize")
    own.input.extend([f"{pad.output[0]}/integer", *convert.input[1:]])
    pad.output[0] = own.input[0]
    inputs = [convert.input[0], pad.input[1], convert.input[2]]
    graph.replace(pad, "Pad", inputs)
    graph.after(pad, own)
