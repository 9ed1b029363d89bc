"""Folds what a converted ONNX graph computes around its layers into them; holds for float and for int8 graphs.

TensorFlow's graph pads before a convolution, asks for shapes at run time and multiplies by a batch norm in nodes of
their own; each of them keeps ONNX Runtime from fusing a layer, or costs a pass over its values.
"""

import numpy as np
import onnx

from keras_sparse.exporting.onnx_graph import Graph, attribute, per_channel, set_attribute


def fold(proto):
    """Rewrites the graph of a model in place."""
    fix_shapes(proto)
    graph = Graph(proto.graph)
    fold_pads(graph)
    sink_reshapes(graph)
    fold_affine(graph, matrices(proto))
    graph.finish()


def matrices(proto):
    """Names of the tensors that are known to have two axes."""
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return {each.name for each in values if len(each.type.tensor_type.shape.dim) == 2}


def fix_shapes(proto):
    """Reshapes to a shape that is computed when the model runs get it as a constant, where one size at most is free.

    Those that change nothing are removed.
    """
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True).graph
    sizes = {
        each.name: [dim.dim_value if dim.HasField("dim_value") else -1 for dim in each.type.tensor_type.shape.dim]
        for each in (*inferred.value_info, *inferred.input, *inferred.output)
        if each.type.tensor_type.HasField("shape")
    }
    graph = Graph(proto.graph)
    for node in [node for node in graph.nodes if node.op_type == "Reshape"]:
        shape = sizes.get(node.output[0])
        if shape is None or shape.count(-1) > 1 or 0 in shape:
            continue
        if shape == sizes.get(node.input[0]) and node.output[0] not in graph.outputs:
            graph.skip(node)
        elif node.input[1] not in graph.constants:
            node.input[1] = graph.constant(f"{node.name}/shape", np.asarray(shape, np.int64))
    graph.finish()


def fold_pads(graph):
    """Zeros around the rows and columns of an image become the padding of the convolution that reads it."""
    for pad in [node for node in graph.nodes if node.op_type == "Pad"]:
        users = graph.users(pad.output[0])
        widths = graph.constants.get(pad.input[1])
        value = graph.constants.get(pad.input[2], np.float32(np.nan)) if len(pad.input) > 2 and pad.input[2] else 0.0
        if pad.output[0] in graph.outputs or widths is None or len(pad.input) > 3 or np.any(value != 0):
            continue
        half = len(widths) // 2
        edges = np.r_[widths[:2], widths[half : half + 2]]
        convolves = [user.op_type == "Conv" and user.input[0] == pad.output[0] for user in users]
        explicit = [attribute(user, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID") for user in users]
        if attribute(pad, "mode", b"constant") != b"constant" or edges.any() or (widths < 0).any():
            continue
        if not users or not all(convolves) or not all(explicit):
            continue
        for user in users:
            spatial = np.r_[widths[2:half], widths[half + 2 :]]
            own = attribute(user, "pads", [0] * len(spatial))
            set_attribute(user, "auto_pad", "NOTSET")
            set_attribute(user, "pads", [int(n) for n in spatial + np.asarray(own)])
        graph.skip(pad)


def sink_reshapes(graph):
    """MatMul -> Reshape -> bias or ReLU becomes MatMul -> bias or ReLU -> Reshape: a Dense layer on many axes."""
    for node in [node for node in graph.nodes if node.op_type == "MatMul"]:
        weights, reshape = graph.constants.get(node.input[1]), graph.only_user(node, "Reshape")
        if weights is None or weights.ndim != 2 or reshape is None:
            continue
        channels, shape = weights.shape[1], graph.constants.get(reshape.input[1])
        if shape is None or shape[-1] != channels:
            continue
        while (after := _elementwise(graph, reshape, channels)) is not None:
            above, between, below = reshape.input[0], reshape.output[0], after.output[0]
            after.input[list(after.input).index(between)] = above
            after.output[0], reshape.input[0], reshape.output[0] = between, between, below
            graph.nodes.remove(reshape)
            graph.after(after, reshape)


def _elementwise(graph, node, channels):
    """The ReLU, or the Mul or Add of one constant per channel, that alone uses the output of `node`, or `None`."""
    user = graph.only_user(node, "Mul", "Add", "Relu", "Clip")
    if user is None or user.op_type in ("Relu", "Clip"):
        return user
    factor = graph.other(user)
    return user if factor is not None and per_channel(factor, channels, 0) is not None else None


def fold_affine(graph, matrices):
    """Multiplications and additions by one constant per channel become part of the weights and bias before them.

    A MatMul with a bias is a Gemm, which takes `matrices` only.
    """
    for node in [node for node in graph.nodes if node.op_type in ("Conv", "Gemm", "MatMul")]:
        weights = graph.constants.get(node.input[1])
        if weights is None or not _plain(node) or (node.op_type != "Conv" and node.input[0] not in matrices):
            continue
        axis, after_channels = (0, weights.ndim - 2) if node.op_type == "Conv" else (weights.ndim - 1, 0)
        channels = weights.shape[axis]
        bias = graph.constants[node.input[2]] if len(node.input) > 2 else np.zeros(channels, np.float32)
        folded, kernel = False, node.input[1]
        while (user := graph.only_user(node, "Mul", "Add")) is not None and (factor := graph.other(user)) is not None:
            factor = per_channel(factor, channels, after_channels)
            if factor is None:
                break
            if user.op_type == "Mul":
                weights = weights * np.expand_dims(factor, [each for each in range(weights.ndim) if each != axis])
                bias, kernel = bias * factor, None
            else:
                bias = bias + factor
            graph.drop(user, node)
            folded = True
        if folded:
            kernel = kernel or graph.constant(f"{node.name}/weights", weights)  # one that did not change may be shared
            inputs = [node.input[0], kernel, graph.constant(f"{node.name}/bias", bias)]
            graph.replace(node, "Gemm" if node.op_type == "MatMul" else node.op_type, inputs)


def _plain(node):
    """Whether `node` is no Gemm with factors or transposed inputs."""
    numbers = [attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)]
    return numbers == [1.0, 1.0] and not attribute(node, "transA", 0) and not attribute(node, "transB", 0)
