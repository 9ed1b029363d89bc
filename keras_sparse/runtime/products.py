"""Integer products in the graph that ONNX Runtime makes of a file, and those whose sums can leave 16 bits."""

from dataclasses import dataclass

import numpy as np
from onnx import helper, numpy_helper

from keras_sparse.runtime import saturation


@dataclass(frozen=True)
class Slots:
    """Which inputs of an operation are what; `None` where it has no such input.

    Attributes:
        data, zero: what it reads and the zero point of that; `zero` is `None` where data are floats that it quantizes.
        weights, weights_zero: its weights and their zero point.
        scales: the scales whose product one unit of the integer sum stands for.
        bias: added to the sum, as an integer before it is scaled or as a float after it.
        output: the output's scale and zero point.
    """

    data: int
    zero: int | None
    weights: int
    weights_zero: int
    scales: tuple[int, ...] = ()
    bias: int | None = None
    output: tuple[int, int] | None = None


SLOTS = {
    "QLinearConv": Slots(0, 2, 3, 5, (1, 4), 8, (6, 7)),
    "QLinearMatMul": Slots(0, 2, 3, 5, (1, 4), None, (6, 7)),
    "QGemm": Slots(0, 2, 3, 5, (1, 4), 6, (7, 8)),
    "MatMulIntegerToFloat": Slots(0, 4, 1, 5, (2, 3), 6),
    "DynamicQuantizeMatMul": Slots(0, None, 1, 3, (2,), 4),
    "MatMulInteger": Slots(0, 2, 1, 3),
}
"""{operation: where its inputs are}: all that multiply bytes by int8 weights two by two. ConvInteger does not."""


def overflowing(graph):
    """The operations, also those in branches and loops, some sum of which can leave 16 bits (`saturation.py`).

    Args:
        graph: a `GraphProto`, as ONNX Runtime writes it when it has optimized a file.
    """
    constants = {each.name: each for each in graph.initializer}
    return [node for node, known in _nodes(graph, constants) if _overflows(node, known)]


def weights(node):
    """The name of the weights of such an operation."""
    return node.input[SLOTS[node.op_type].weights]


def _nodes(graph, constants):
    for node in graph.node:
        yield node, constants
        for each in node.attribute:
            if each.HasField("g"):
                yield from _nodes(each.g, constants | {inner.name: inner for inner in each.g.initializer})


def _overflows(node, constants):
    stored = constants.get(weights(node)) if node.op_type in SLOTS else None
    if stored is None or stored.data_type != stored.INT8:
        return False
    values = numpy_helper.to_array(stored)
    if "Conv" in node.op_type and saturation.depthwise(values, attribute(node, "group", 1)):
        return False
    return any(len(saturation.overflowing(matrix)[0]) for matrix in matrices(node, values))


def matrices(node, weights):
    """The weights as matrices `(inputs, outputs)`, one for each group of a convolution or item of a batch."""
    if "Conv" not in node.op_type:
        each = weights.reshape(-1, *weights.shape[-2:]) if weights.ndim > 1 else weights[None, :, None]
        return [matrix.T if attribute(node, "transB", 0) else matrix for matrix in each]
    groups = np.split(weights, attribute(node, "group", 1))
    return [np.moveaxis(each, 1, -1).reshape(len(each), -1).T for each in groups]


def attribute(node, name, default):
    """The value of an attribute, or `default` where the operation has none."""
    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else helper.get_attribute_value(found)
