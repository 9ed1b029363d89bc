"""How a weight tensor can be stored in `.tflite`: each encoding knows its size, what speaks against it, and writes it.

What a runtime gets wrong is refused here, whoever asks: LiteRT drops inputs that do not fill a block, counts the blocks
of a row in 8 bits, hands sparse weights to dense kernels where the version of an operation says nothing, and does not
load DENSIFY before operations whose weights must be constant when it prepares them.
"""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.encoding import csr
from keras_sparse.exporting import tflite_sparse
from keras_sparse.exporting.tflite_model import text
from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS
from keras_sparse.targets.tflite_limits import KERNELS, VERSION, densified_fault

BLOCKS = ((1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (2, 1), (4, 1), (8, 1), (16, 1), (4, 4))
"""Blocks that a densified tensor is tried with; the smallest result is taken."""

TABLES, UNPACKED = 150, 400
"""Bytes, about, of the descriptions of a sparse tensor, and of those with a DENSIFY and its output."""


@dataclass(frozen=True, eq=False)
class Weight:
    """A constant that operations read as their weights.

    Attributes:
        index: of the tensor that holds the values.
        values: dense.
        operators: what reads it, through DEQUANTIZE or itself.
        kinds: their names.
        arithmetic: "int8" (static), "hybrid" (int8 weights, float inputs), or "float".
    """

    index: int
    values: np.ndarray
    operators: tuple
    kinds: tuple[str, ...]
    arithmetic: str

    @property
    def scheme(self):
        """As targets see it: what is dequantized first counts as float16."""
        floats = FLOAT32 if self.values.dtype == "float32" else FLOAT16
        return {"int8": INT8, "hybrid": INT8_WEIGHTS, "float": floats}[self.arithmetic]


class Dense:
    """All values, in order."""

    name = "dense"

    def refusal(self, weight):
        return None

    def size(self, weight):
        return weight.values.nbytes

    def write(self, graph, weight):
        pass


class Densified:
    """Compressed sparse rows with DENSIFY, which unpacks them when the file is loaded."""

    name = "csr"

    def refusal(self, weight):
        """Why the runtime would not load or not run it, or `None`."""
        if weight.values.ndim < 2:
            return "only matrices and kernels are stored sparse"
        faults = (densified_fault(kind, weight.scheme) for kind in weight.kinds)
        return next((fault for fault in faults if fault is not None), None)

    def size(self, weight):
        return smallest(weight.values).nbytes + UNPACKED

    def write(self, graph, weight):
        tensor, made = graph.tensors[weight.index], smallest(weight.values)
        name = text(tensor.name)  # that of the kernel stays with what is stored
        tensor.name = f"{name}/dense".encode()
        sparse = graph.add_tensor(name, made.shape, made.data.dtype.name, tensor.quantization, made.data.tobytes())
        graph.tensors[sparse].sparsity = tflite_sparse.parameters(made)
        tensor.buffer = 0
        graph.add_operator(
            "DENSIFY", [sparse], [weight.index], schema.DensifyOptionsT(), before=graph.users(weight.index)[0]
        )


class Blocks:
    """Blocks of one output by some inputs, in FULLY_CONNECTED kernels of LiteRT's own that skip blocks of zeros."""

    def __init__(self, scheme, dtype):
        self.kernel, self.dtype = KERNELS[scheme], dtype
        self.block, self.name = (1, self.kernel.width), f"block 1x{self.kernel.width}"

    def refusal(self, weight):
        """Why the runtime would compute something else, or `None`."""
        if set(weight.kinds) != {"FULLY_CONNECTED"}:
            return "only FULLY_CONNECTED has block kernels"
        if weight.values.dtype != self.dtype or any(op.inputs[1] != weight.index for op in weight.operators):
            return f"the kernel takes {self.dtype} weights as they are stored"
        inputs = weight.values.shape[-1]
        fault = self.kernel.fault(inputs)
        if fault is None:
            made = csr.encode(weight.values, self.block)
            fault = self.kernel.fault(inputs, int(np.diff(made.segments.astype(int)).max()))
        return fault

    def size(self, weight):
        return csr.encode(weight.values, self.block).nbytes + TABLES

    def write(self, graph, weight):
        made = csr.encode(weight.values, self.block)
        tensor = graph.tensors[weight.index]
        graph.set_constant(weight.index, made.data)
        tensor.shape, tensor.sparsity = [*made.shape], tflite_sparse.parameters(made)
        for operator in weight.operators:
            graph.set_version(operator, VERSION)


def smallest(values):
    """The `CSR` of `values` in the blocks that take the fewest bytes."""
    blocks = (block for block in BLOCKS if csr.fits(values.shape, block))
    return min((csr.encode(values, block) for block in blocks), key=lambda made: made.nbytes)


DENSE, DENSIFIED = Dense(), Densified()
BLOCK_KERNELS = {
    "int8": Blocks(INT8, "int8"),
    "hybrid": Blocks(INT8_WEIGHTS, "int8"),
    "float": Blocks(FLOAT32, "float32"),
}
"""arithmetic -> the block kernel for it."""
