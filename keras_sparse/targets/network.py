"""A model as targets see it: its kernels, and its operations as a neutral list. Keras models and files become one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_sparse.pattern import NofM, Pattern, RankedPattern

FLOAT32, FLOAT16, INT8, INT8_WEIGHTS = "float32", "float16", "int8", "int8-weights"
SCHEMES = (FLOAT32, FLOAT16, INT8, INT8_WEIGHTS)
"""How a layer is stored and computed; "int8-weights" is hybrid: int8 weights, float activations."""

BITS = {FLOAT32: 32, FLOAT16: 16, INT8: 8, INT8_WEIGHTS: 8}
"""Bits of one stored weight."""

DENSE, CONV, DEPTHWISE, OTHER = "dense", "conv", "depthwise", "other"
"""Kinds of layers with a kernel; "conv" is two-dimensional and without groups."""


@dataclass(frozen=True)
class Stored:
    """How a file stores a kernel.

    Attributes:
        encoding: such as "dense", "CSR + DENSIFY" or "blocks 1x16".
        block: of a sparse table, `(1, 1)` for single values; `None` where it is stored dense.
        densified: whether an operation makes it dense before it is used.
        version: of the operation that reads it, `None` where the format has no such thing.
        fullest_row: most blocks in one row of a sparse table.
        bytes: of its values and tables.
        scheme: in which the values are stored, one of SCHEMES, where the layer computes in another one.
    """

    encoding: str
    bytes: int
    block: tuple[int, int] | None = None
    densified: bool = False
    version: int | None = None
    fullest_row: int = 0
    scheme: str | None = None


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer with a kernel of `positions` matrices of `rows` outputs by `cols` inputs, as in `layout.py`.

    Attributes:
        name: the path of the kernel, or its name in a file.
        kind: DENSE, CONV, DEPTHWISE or OTHER.
        type: what the model or the file calls the layer, such as "Dense" or "CONV_2D".
        scheme: one of SCHEMES.
        kept: `(positions, rows, cols)`, True where a weight is not zero; `None` where only their number is known.
        zeros: number of zero weights.
        vectors: how many input vectors meet the kernel for one item: 1 for a Dense layer on a vector, the output's
            pixels for a convolution; `None` where the shapes are not known.
        operation: the name of its operation in the network, `None` without a graph.
        stored: for the layers of a file.
        float_because: why the layer stays float where int8 was asked for.
    """

    name: str
    kind: str
    type: str
    positions: int
    rows: int
    cols: int
    scheme: str
    zeros: int = 0
    kept: np.ndarray | None = None
    vectors: int | None = 1
    operation: str | None = None
    stored: Stored | None = None
    float_because: str | None = None

    @property
    def what(self) -> str:
        """What kind of kernel it is, for those who read it."""
        return self.type if self.kind == OTHER else self.kind

    @property
    def size(self) -> int:
        return self.positions * self.rows * self.cols

    @property
    def sparsity(self) -> float:
        return self.zeros / max(1, self.size)

    def sparsity_in(self, pattern: Pattern) -> float:
        """The fraction of zeros that lie in whole units of the pattern; 0 where its groups are not kept.

        >>> kept = np.array([[[False] * 16 + [True, False] * 8]])
        >>> from keras_sparse.pattern import Block
        >>> Layer("k", DENSE, "Dense", 1, 1, 32, FLOAT32, zeros=24, kept=kept).sparsity_in(Block((1, 16), 0.5))
        0.5
        """
        if self.kept is None:
            block = (1, 1) if self.stored is None else self.stored.block
            return self.sparsity if block == getattr(pattern, "shape", (1, 1)) else 0.0
        if isinstance(pattern, NofM):
            return self.sparsity if pattern.violation(self.kept.astype(np.int8)) is None else 0.0
        if isinstance(pattern, RankedPattern):
            units = pattern.units(self.kept)
            return float(np.count_nonzero(units == 0) / units.size)
        raise TypeError(f"{self.name}: units of a {type(pattern).__name__} cannot be counted")


@dataclass(frozen=True)
class Operation:
    """One operation of a graph; tensors are numbers. What does not apply has its default.

    Attributes:
        name: of the layer, or of the output in a file.
        kind: CONV, DEPTHWISE, DENSE, or "add", "multiply", "unary", "resize bilinear", "mean", "depth to space", "pad",
            or whatever the format calls it, which no rule knows.
        inputs: the activations that it reads, without constants.
        rank: axes of its first input, with the batch.
        channels: of its input.
        size: height and width of its input.
        padding: zeros around its input, ((top, bottom), (left, right)).
        same: whether that padding is asked for as "same" and not by numbers.
        multiplier: of a depthwise convolution: outputs for each input channel.
        groups: of a convolution.
        keepdims: of a mean, whether it leaves height and width as axes of size 1.
        floats: whether all of its values are float32 or float16.
    """

    name: str
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    rank: int = 4
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    channels: int = 0
    size: tuple[int, int] | None = None
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    same: bool = False
    multiplier: int = 1
    groups: int = 1
    keepdims: bool = True
    floats: bool = True


@dataclass(frozen=True, eq=False)
class Network:
    """The kernels of a model; its operations in order, where it has a graph, and the numbers of its outputs."""

    layers: tuple[Layer, ...]
    operations: tuple[Operation, ...] | None = None
    outputs: tuple[int, ...] = ()
    no_graph_because: str | None = None
