"""Rewrites a float graph that misses the pattern of XNNPACK's sparse kernels by form only."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting.tflite_model import text

VALID = schema.Padding.VALID


def rewrite(graph, names):
    """Gives the operations whose outputs have these names the form of the pattern; what they compute stays the same.

    Convolutions are padded by an operation of its own, by half their kernel on all sides, and MEAN keeps height and
    width as axes, with a RESHAPE after it.
    """
    for operator in [op for op in graph.operators if text(graph.tensors[op.outputs[0]].name) in names]:
        if graph.name(operator) == "MEAN":
            _keep_axes(graph, operator)
        else:
            _pad(graph, operator)


def _keep_axes(graph, operator):
    (output,) = operator.outputs
    tensor = graph.tensors[output]
    batch, *_, channels = graph.tensors[operator.inputs[0]].shape
    kept = graph.add_tensor(f"{text(tensor.name)}/kept", (batch, 1, 1, channels), "float32")
    operator.outputs, operator.builtinOptions.keepDims = [kept], True
    shape = graph.add_constant(f"{text(tensor.name)}/shape", np.asarray(tensor.shape, np.int32))
    graph.add_operator("RESHAPE", [kept, shape], [output], schema.ReshapeOptionsT([*tensor.shape]), after=operator)


def _pad(graph, operator):
    given = operator.inputs[0]
    before = graph.producer(given)
    alone = before is not None and graph.name(before) == "PAD" and len(graph.users(given)) == 1
    if alone and operator.builtinOptions.padding == VALID:
        given = before.inputs[0]
        graph.operators.remove(before)
    _, height, width, _ = graph.tensors[operator.inputs[1]].shape
    around = [[0, 0], [height // 2] * 2, [width // 2] * 2, [0, 0]]
    name = f"{text(graph.tensors[operator.outputs[0]].name)}/padded"
    sizes = np.asarray(graph.tensors[given].shape) + np.sum(around, axis=1)
    padded = graph.add_tensor(name, [int(each) for each in sizes], "float32")
    paddings = graph.add_constant(f"{name}/by", np.asarray(around, np.int32))
    graph.add_operator("PAD", [given, paddings], [padded], schema.PadOptionsT(), before=operator)
    operator.inputs, operator.builtinOptions.padding = [padded, *operator.inputs[1:]], VALID
