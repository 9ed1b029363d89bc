"""Where a model or an `.onnx` file has the 2:4 groups that TensorRT's sparse kernels take."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_sparse.exporting import onnx_checked, onnx_file
from keras_sparse.exporting.onnx_graph import attribute
from keras_sparse.pattern import NofM
from keras_sparse.train.strip import stripped

PATTERN = NofM(2, 4)
CONVOLUTIONS, PRODUCTS = ("Conv", "ConvInteger"), ("MatMul", "MatMulInteger", "Gemm")


@dataclass(frozen=True)
class SparseKernel:
    """One kernel, and whether TensorRT may run it with sparse tensor cores.

    Attributes:
        name: of the tensor in a model, such as "conv/kernel"; in a file, of the operation that reads it.
        inputs: input channels along which the groups lie, at each position of the kernel.
        reason: why it may not, with the first group that breaks the pattern; `None` where it may.
    """

    name: str
    inputs: int
    reason: str | None

    @property
    def holds(self):
        return self.reason is None


def two_of_four(source):
    """Each kernel of a model or a file, and whether at most two of each four input channels are non-zero.

    TensorRT (with the SPARSE_WEIGHTS flag, on Ampere and later) takes kernels of convolutions and matrix products whose
    input channels are a multiple of 4, in groups of four from the first one on, at each kernel position.

    Args:
        source: a functional or Sequential Keras model, plain or prepared, or the path of an `.onnx` file.

    Returns:
        A tuple of `SparseKernel`s.

    Source: NVIDIA TensorRT Developer Guide, "Structured Sparsity".

    >>> model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    >>> [(each.holds, each.reason) for each in two_of_four(model)]
    [(False, 'its 6 input channels are no multiple of 4')]
    """
    if isinstance(source, keras.Model):
        found = _of_model(source)
    elif isinstance(source, str | Path):
        found = _of_file(source)
    else:
        raise TypeError(f"A Keras model or the path of an .onnx file was expected. Received: {type(source).__name__}")
    return tuple(SparseKernel(name, inputs.shape[-1], _reason(inputs)) for name, inputs in found)


def _of_model(model):
    """`(name, kernel with its input channels last)` of each kernel that is one of a convolution or a product."""
    for each in stripped(model).tensors:
        order = each.layout.onnx
        if order is not None and order[:2] == ("I", "O") and len(order) == 2:
            yield each.name, each.layout.to(("O", "I"), each.values)
        elif order is not None and order[1] in ("I", "1"):
            yield each.name, np.moveaxis(each.layout.to(order, each.values), 1, -1)


def _of_file(path):
    tensors = {each.name: each.values for each in onnx_file.read(path).tensors}
    nodes = onnx_checked.load(path).graph.node
    stored = {node.output[0]: node.input[0] for node in nodes if node.op_type in ("DequantizeLinear", "Cast")}
    seen = set()
    for node in nodes:
        kernel = stored.get(node.input[1], node.input[1]) if node.op_type in (*CONVOLUTIONS, *PRODUCTS) else None
        if kernel in tensors and kernel not in seen:
            seen.add(kernel)
            across = node.op_type in PRODUCTS and not attribute(node, "transB", 0)
            yield node.name or kernel, np.moveaxis(tensors[kernel], -2 if across else 1, -1)


def _reason(kernel):
    """Why a kernel `(..., inputs)` is not 2:4; each of its rows is an output channel at one position."""
    if kernel.shape[-1] % PATTERN.m:
        return f"its {kernel.shape[-1]} input channels are no multiple of {PATTERN.m}"
    return PATTERN.violation(np.moveaxis(kernel, 0, -2).reshape(-1, kernel.shape[0], kernel.shape[-1]))
