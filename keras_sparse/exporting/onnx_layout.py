"""Lets ONNX Runtime cancel the transposes around int8 convolutions, which it computes with channels last.

Keras's tensors have channels last, ONNX's channels first, so the converted graph transposes the image, and again what
is flattened. ONNX Runtime computes int8 convolutions with channels last and moves transposes through the graph until
they meet and cancel out. It cannot move them through a reshape, which the converter writes where a transpose moves
axes of one element only. Here each is a transpose again.
"""

import numpy as np
import onnx
from onnx import helper

from keras_sparse.exporting.onnx_graph import Graph, attribute, set_attribute

FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def cancel_transposes(proto):
    """Rewrites the graph of an int8 model in place."""
    sizes = _sizes(proto)
    graph = Graph(proto.graph)
    for node in [node for node in graph.nodes if node.op_type in ("Reshape", "Squeeze", "Flatten")]:
        before, after = sizes.get(node.input[0]), sizes.get(node.output[0])
        if before is None or after is None or len(before) != 4:
            continue
        moved = next((perm for perm in (FIRST, LAST) if _only_moves(before, after, perm)), None)
        if moved is not None:
            graph.replace(node, "Transpose", node.input[:1])
            node.ClearField("attribute")
            set_attribute(node, "perm", moved)
        elif before[2:] == [1, 1] and after[1:] == before[1:2] and _squeezes(node):
            last = f"{node.output[0]}/channels_last"
            graph.before(node, helper.make_node("Transpose", [node.input[0]], [last], name=last, perm=LAST))
            shape = graph.constant(f"{node.name}/shape", np.int64([-1, before[1]]))
            graph.replace(node, "Reshape", [last, shape])
            node.ClearField("attribute")
    graph.finish()


def _sizes(proto):
    """{tensor: sizes}, the batch and other free sizes as 0."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {each.name: [dim.dim_value for dim in each.type.tensor_type.shape.dim] for each in values}


def _only_moves(before, after, perm):
    """Whether a reshape is the transpose `perm`, which leaves axes of more than one element in their order."""
    kept = [axis for axis in perm[1:] if before[axis] != 1]
    return 0 not in before[1:] and after[1:] == [before[axis] for axis in perm[1:]] and kept == sorted(kept)


def _squeezes(node):
    return node.op_type != "Flatten" or attribute(node, "axis", 1) == 1
