"""The weights of an operation however a file stores them: as they are, in sparse tables, or in those behind DENSIFY."""

from dataclasses import dataclass

import numpy as np

from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_encodings, tflite_sparse


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights that one operation reads.

    Attributes:
        values: dense.
        read: the tensor that the operation reads.
        stored: the tensor that holds the values: another one where DENSIFY is between.
        block: (outputs, inputs) of a block where they are stored sparse, else `None`.
    """

    values: np.ndarray
    read: int
    stored: int
    block: tuple[int, int] | None = None

    @property
    def densified(self):
        return self.read != self.stored

    def inputs_at_once(self):
        """The number of inputs that the operation skips or takes together; they must fill such blocks."""
        return 1 if self.block is None or self.densified else self.block[1]


def find(graph, tensor):
    """The `Kernel` that the tensor of that index is, or `None` where it is no constant.

    Raises:
        ValueError: it is stored sparse in a form that cannot be read, or be written for this operation alone.
    """
    values = graph.constant(tensor)
    if values is not None:
        return Kernel(values, tensor, tensor)
    producer = graph.producer(tensor)
    densified = producer is not None and graph.name(producer) == "DENSIFY"
    stored = int(producer.inputs[0]) if densified else tensor
    held = graph.tensors[stored]
    if held.sparsity is None:
        return None
    if len(graph.users(tensor)) > 1 or len(graph.users(stored)) > 1 or graph.is_output(tensor):
        raise ValueError("several operations read them")
    data = graph.model.buffers[held.buffer].data
    shape = tuple(int(n) for n in held.shape)
    made = tflite_sparse.read(held.sparsity, shape, graph.dtype(stored), b"" if data is None else bytes(data))
    return Kernel(csr.decode(made), tensor, stored, made.block)


def write(graph, kernel, values, quantization):
    """Stores other values in place of a sparse kernel's, in the same form.

    Blocks stay as they are where they fill the new shape; behind DENSIFY, else those of the fewest bytes do.
    """
    block = kernel.block if csr.fits(values.shape, kernel.block) or not kernel.densified else None
    made = csr.encode(values, block) if block else tflite_encodings.smallest(values)
    graph.set_constant(kernel.stored, made.data)
    held = graph.tensors[kernel.stored]
    held.sparsity = tflite_sparse.parameters(made)
    for index in {kernel.stored, kernel.read}:
        tensor = graph.tensors[index]
        tensor.shape, tensor.shapeSignature, tensor.quantization = [*values.shape], None, quantization
