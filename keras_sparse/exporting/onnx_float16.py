"""Makes an ONNX graph compute in float16, with float32 inputs and outputs."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from keras_sparse.exporting.check import ExportError

LARGEST = float(np.finfo(np.float16).max)
LEAST = float(np.finfo(np.float16).smallest_subnormal)
NORMAL = float(np.finfo(np.float16).tiny)


@dataclass(frozen=True)
class Narrowed:
    """One tensor of weights whose values float16 holds less well.

    Attributes:
        raised: values below half of float16's least one, 6e-8, which would have become 0: they became +-6e-8.
        coarse: values below 6.1e-5, of which float16 keeps fewer than its 11 bits.
    """

    name: str
    raised: int
    coarse: int

    def __str__(self):
        return f"{self.name}: {self.coarse} values below {NORMAL:.1e} are coarse in float16, {self.raised} were raised"


def to_float16(proto):
    """Rewrites a float32 `ModelProto` in place: weights and arithmetic become float16, inputs and outputs stay float32.

    Weights and arithmetic, because servers (TensorRT, GPUs, ARMv8.2) have float16 kernels and take the file as it is;
    ONNX Runtime on an x86 converts around each operation instead, and is no faster there. Zeros stay zeros, and nothing
    else becomes 0: a value too small for float16 becomes its least one.

    Returns:
        A tuple of `Narrowed`, one for each tensor that has such values.

    Raises:
        ExportError: a value is beyond 65504, or is not finite; names the tensor.
    """
    narrowed = []
    for each in proto.graph.initializer:
        if each.data_type == TensorProto.FLOAT:
            values = np.abs(numpy_helper.to_array(each))
            largest = values.max(initial=0.0)
            if not largest <= LARGEST:
                raise ExportError(
                    f"{each.name}: float16 holds values up to {LARGEST:.0f}. Received: {largest:.6g}. Export it as "
                    "float32 or int8, or scale this layer down."
                )
            raised, coarse = ((values > 0) & (values < limit) for limit in (LEAST / 2, NORMAL))
            if coarse.any():
                narrowed.append(Narrowed(each.name, int(raised.sum()), int(coarse.sum())))
    made = convert_float_to_float16(proto, min_positive_val=LEAST, keep_io_types=True)
    OnnxModel.graph_topological_sort(made.graph, is_deterministic=True)  # its casts are at the end
    _name_casts(made.graph)
    proto.CopyFrom(made)
    return tuple(narrowed)


def _name_casts(graph):
    """Names what is cast after the input or output; OpenVINO removes the cast and may call the input by either name."""
    inputs, outputs = ({each.name for each in values} for values in (graph.input, graph.output))
    names = {}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in inputs:
            names[node.output[0]] = f"{node.input[0]}/float16"
        elif node.op_type == "Cast" and node.output[0] in outputs:
            names[node.input[0]] = f"{node.output[0]}/float16"
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in graph.value_info:
        value.name = names.get(value.name, value.name)
