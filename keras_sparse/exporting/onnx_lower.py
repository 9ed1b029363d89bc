"""Operations of TensorFlow that tf2onnx leaves in the graph as they are, written with ONNX's own."""

import numpy as np
from onnx import helper

from keras_sparse.exporting.onnx_graph import Graph

ONE = np.ones((), np.float32)
FORMS = {
    "Erfc": lambda x, one, y: [("Erf", [x], f"{y}/erf"), ("Sub", [one, f"{y}/erf"], y)],
    "Expm1": lambda x, one, y: [("Exp", [x], f"{y}/exp"), ("Sub", [f"{y}/exp", one], y)],
    "Log1p": lambda x, one, y: [("Add", [one, x], f"{y}/add"), ("Log", [f"{y}/add"], y)],
}
"""{operation: its input, the constant 1 and its output -> operations in its place}."""


def lower(proto):
    """Rewrites a `GraphProto` in place: `Erfc` (of Keras's gelu), `Expm1` (of its celu) and `Log1p`."""
    graph = Graph(proto)
    for node in [node for node in graph.nodes if node.op_type in FORMS]:
        one = graph.constant(f"{node.name}/one", ONE)
        steps = FORMS[node.op_type](node.input[0], one, node.output[0])
        graph.after(node, *[helper.make_node(kind, given, [made], name=made) for kind, given, made in steps])
        graph.nodes.remove(node)
    graph.finish()
