"""Operations of TensorFlow that tf2onnx leaves in the graph as they are, written with ONNX's own."""

import numpy as np
from onnx import helper

from keras_sparse.exporting.onnx_graph import Graph


def lower(proto):
    """Rewrites a `GraphProto` in place: `Erfc(x)`, of Keras's gelu, becomes `1 - Erf(x)`."""
    graph = Graph(proto)
    for node in [node for node in graph.nodes if node.op_type == "Erfc"]:
        out = node.output[0]
        node.op_type, node.output[0] = "Erf", f"{out}/erf"
        one = graph.constant(f"{node.name}/one", np.ones((), np.float32))
        graph.after(node, helper.make_node("Sub", [one, node.output[0]], [out], name=f"{node.name}/sub"))
    graph.finish()
