"""The pattern of operations that XNNPACK runs with its sparse kernels (SpMM), as rules over a neutral list.

XNNPACK turns a cluster of operations from NHWC to NCHW, and multiplies sparse 1x1 convolutions there, if: the cluster
begins at 3x3 convolutions of stride 2 over 3 channels, padded by 1 on all four sides; holds only 1x1 convolutions,
depthwise 3x3 and 5x5 ones padded on all sides, additions and multiplications of two tensors, unary operations and
bilinear resizing; ends in a mean over height and width that keeps them as axes, or in depth-to-space; no value of it is
used outside; all is float; and more than 2/3 of the weights of its 1x1 convolutions are zero. One weight must come out
of a DENSIFY for that to be tried at all. Source: XNNPACK, `src/subgraph.c`, `xnn_subgraph_rewrite_for_nchw`, and
LiteRT, `xnnpack_delegate.cc`.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keras_sparse.targets.network import CONV, DEPTHWISE, Network, Operation

ADD, MULTIPLY, UNARY, RESIZE = "add", "multiply", "unary", "resize bilinear"
MEAN, DEPTH_TO_SPACE, PAD = "mean", "depth to space", "pad"
"""Kinds of operations that the rules know, beside those of layers with a kernel."""

ENTRY, INSIDE, EXIT, EITHER = "entry", "inside", "exit", "inside or exit"
"""Places in a cluster."""

ENTRY_CHANNELS = 3
NO_PADDING = ((0, 0), (0, 0))


@dataclass(frozen=True)
class Miss:
    """What keeps an operation out, in words; `by_form` if an exporter can write the same function in the pattern."""

    operation: str
    fault: str
    by_form: bool = False

    def __str__(self) -> str:
        return f"{self.operation} {self.fault}"


Placed = tuple[str | None, Miss | None]
"""A place, or `None`; and what is against it. A miss beside a place is one of form."""


@dataclass(frozen=True)
class Cluster:
    """Operations that XNNPACK takes together: their names, those of the 1x1 convolutions, and what to rewrite first."""

    operations: tuple[str, ...]
    convs: tuple[str, ...]
    rewrites: tuple[Miss, ...]

    def enough_zeros(self, sizes: Mapping[str, int], zeros: Mapping[str, int]) -> bool:
        """Whether above 2/3 of the weights of its 1x1 convolutions are zero, by {operation: count}."""
        return 3 * sum(zeros[each] for each in self.convs) > 2 * sum(sizes[each] for each in self.convs)


@dataclass(frozen=True)
class Analysis:
    """The clusters of a network, and for each 1x1 convolution outside them the first condition that fails."""

    clusters: tuple[Cluster, ...]
    misses: dict[str, Miss]

    def cluster_of(self, operation: str | None) -> Cluster | None:
        return next((each for each in self.clusters if operation in each.convs), None)


def analyse(network: Network) -> Analysis:
    """Which operations make clusters, whatever their zeros, and what keeps the other 1x1 convolutions out."""
    return _Search(network).run()


def place(operation: Operation) -> Placed:
    """Where an operation may stand in a cluster, by itself."""
    if not operation.floats:
        return None, Miss(operation.name, "does not compute in float, and XNNPACK has sparse kernels for floats only")
    rule = RULES.get(operation.kind)
    if rule is None:
        return None, Miss(operation.name, f"({operation.kind}) is no operation of the pattern")
    return rule(operation)


def _conv(operation: Operation) -> Placed:
    pointwise = operation.kernel == (1, 1)
    shared = [
        (operation.groups == 1, f"has {operation.groups} groups, and the pattern allows one"),
        (operation.dilation == (1, 1), f"is dilated by {_by(operation.dilation)}"),
    ]
    if pointwise:
        inside = [
            (operation.strides == (1, 1), f"is 1x1 with stride {_by(operation.strides)}, and the pattern allows 1"),
            (operation.padding == NO_PADDING, "is 1x1 and padded"),
        ]
        return _placed(operation, INSIDE, shared + inside, 0)
    said = "which is neither 1x1 nor an entry (3x3, stride 2)"
    entry = [
        (operation.kernel == (3, 3), f"is {_by(operation.kernel)}, {said}"),
        (operation.strides == (2, 2), f"is {_by(operation.kernel)} with stride {_by(operation.strides)}, {said}"),
        (operation.channels == ENTRY_CHANNELS, f"reads {operation.channels} channels, and an entry (3x3) reads 3"),
    ]
    return _placed(operation, ENTRY, shared + entry, 1)


def _depthwise(operation: Operation) -> Placed:
    conditions = [
        (
            operation.kernel in ((3, 3), (5, 5)),
            f"is depthwise {_by(operation.kernel)}, and the pattern allows 3x3, 5x5",
        ),
        (operation.strides in ((1, 1), (2, 2)), f"has stride {_by(operation.strides)}, and the pattern allows 1, 2"),
        (operation.dilation == (1, 1), f"is dilated by {_by(operation.dilation)}"),
        (operation.multiplier == 1, f"has depth multiplier {operation.multiplier}, and the pattern allows 1"),
    ]
    return _placed(operation, INSIDE, conditions, operation.kernel[0] // 2)


def _placed(operation: Operation, where: str, conditions: list[tuple[bool, str]], pad: int) -> Placed:
    """The first condition that does not hold; then the padding, by `pad` zeros on all sides and by numbers."""
    fault = next((fault for holds, fault in conditions if not holds), None)
    if fault is not None:
        return None, Miss(operation.name, fault)
    if operation.padding == ((pad, pad), (pad, pad)):
        # XNNPACK makes numbers of "same" by itself where the stride is 1.
        if not operation.same or operation.strides == (1, 1):
            return where, None
        return where, Miss(operation.name, 'is padded "same" and not by an operation of its own', by_form=True)
    fault = f"is padded by {operation.padding}, and the pattern wants {pad} on all four sides"
    if _reaches_no_further(operation, pad):
        return where, Miss(operation.name, fault, by_form=True)
    return None, Miss(operation.name, fault)


def _reaches_no_further(operation: Operation, pad: int) -> bool:
    """Whether `pad` zeros on all sides give the same function: windows start there, and none reaches a new zero."""
    if operation.size is None:
        return False
    sides = zip(operation.size, operation.padding, operation.kernel, operation.strides, strict=True)
    return all(
        before == pad and (size + before + after - kernel) // stride == (size + 2 * pad - kernel) // stride
        for size, (before, after), kernel, stride in sides
    )


def _anywhere(where: str) -> Callable[[Operation], Placed]:
    def rule(operation: Operation) -> Placed:
        if operation.rank == 4:
            return where, None
        return None, Miss(operation.name, f"has inputs of {operation.rank} axes, and the pattern wants 4")

    return rule


def _mean(operation: Operation) -> Placed:
    where, miss = _anywhere(EITHER)(operation)
    if miss is None and not operation.keepdims:
        miss = Miss(operation.name, "drops height and width, and the pattern wants them kept as axes", by_form=True)
    return where, miss


RULES: dict[str, Callable[[Operation], Placed]] = {
    CONV: _conv,
    DEPTHWISE: _depthwise,
    ADD: _anywhere(INSIDE),
    MULTIPLY: _anywhere(INSIDE),
    UNARY: _anywhere(INSIDE),
    RESIZE: _anywhere(INSIDE),
    MEAN: _mean,
    DEPTH_TO_SPACE: _anywhere(EXIT),
}


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


class _Search:
    """Connected components of what has a place; a component in which one condition fails is no cluster."""

    def __init__(self, network: Network) -> None:
        self.operations = without_pads(network.operations or ())
        self.outputs = set(network.outputs)
        self.placed = [place(each) for each in self.operations]
        self.producer = {out: n for n, each in enumerate(self.operations) for out in each.outputs}
        self.readers: dict[int, list[int]] = {}
        for number, operation in enumerate(self.operations):
            for tensor in operation.inputs:
                self.readers.setdefault(tensor, []).append(number)

    def run(self) -> Analysis:
        clusters = []
        misses = {
            self.operations[n].name: miss
            for n, (where, miss) in enumerate(self.placed)
            if where is None and miss is not None and self.pointwise(n)
        }
        for members in self.components():
            convs = tuple(self.operations[n].name for n in members if self.pointwise(n))
            broken = self.broken(members)
            if broken is not None:
                misses.update(dict.fromkeys(convs, broken))
            elif convs:
                rewrites = tuple(miss for n in members if (miss := self.placed[n][1]) is not None)
                clusters.append(Cluster(tuple(self.operations[n].name for n in members), convs, rewrites))
        return Analysis(tuple(clusters), misses)

    def pointwise(self, number: int) -> bool:
        return self.operations[number].kind == CONV and self.operations[number].kernel == (1, 1)

    def continues(self, number: int | None) -> bool:
        """Whether what reads the operation may belong to its cluster."""
        return number is not None and self.placed[number][0] in (ENTRY, INSIDE, EITHER)

    def components(self) -> list[list[int]]:
        parents = list(range(len(self.operations)))

        def find(n: int) -> int:
            while parents[n] != n:
                parents[n] = n = parents[parents[n]]
            return n

        for number, operation in enumerate(self.operations):
            if self.placed[number][0] not in (None, ENTRY):  # an entry reads NHWC: what is before it is not asked
                for tensor in operation.inputs:
                    before = self.producer.get(tensor)
                    if before is not None and self.continues(before):
                        parents[find(number)] = find(before)
        groups: dict[int, list[int]] = {}
        for number, (where, _) in enumerate(self.placed):
            if where is not None:
                groups.setdefault(find(number), []).append(number)
        return list(groups.values())

    def broken(self, members: list[int]) -> Miss | None:
        """The first condition, in the order of the operations, that keeps a component from being a cluster."""
        inside = set(members)
        for number in members:
            miss = self.broken_before(number) or self.broken_after(number, inside)
            if miss is not None:
                return miss
        return None

    def broken_before(self, number: int) -> Miss | None:
        operation = self.operations[number]
        if self.placed[number][0] == ENTRY:
            return None
        for tensor in operation.inputs:
            before = self.producer.get(tensor)
            if before is None:
                return Miss(operation.name, "reads the model's input, and only an entry (3x3, stride 2) may")
            if not self.continues(before):
                return self.placed[before][1] or Miss(self.operations[before].name, "ends the pattern before others do")
        return None

    def broken_after(self, number: int, inside: set[int]) -> Miss | None:
        operation, where = self.operations[number], self.placed[number][0]
        for tensor in operation.outputs:
            readers = self.readers.get(tensor, [])
            outside = [n for n in readers if n not in inside or self.placed[n][0] == ENTRY]
            if where == EXIT or (where == EITHER and len(outside) == len(readers)):
                continue
            if outside:
                reader = self.operations[outside[0]].name
                return self.placed[outside[0]][1] or Miss(reader, f"reads {operation.name}, which is no exit")
            if tensor in self.outputs or not readers:
                return Miss(operation.name, "is the model's output, and a mean or depth-to-space must come before that")
        return None


def without_pads(operations: tuple[Operation, ...]) -> tuple[Operation, ...]:
    """The list with explicit paddings taken into the one convolution after them, as XNNPACK does."""
    pads = {out: each for each in operations if each.kind == PAD for out in each.outputs}
    uses = Counter(tensor for each in operations for tensor in each.inputs)
    fused, made = set(), []
    for each in operations:
        pad = pads.get(each.inputs[0]) if each.inputs and each.kind in (CONV, DEPTHWISE) else None
        if pad is None or each.same or uses[each.inputs[0]] > 1:
            made.append(each)
            continue
        padding = tuple((p[0] + q[0], p[1] + q[1]) for p, q in zip(pad.padding, each.padding, strict=True))
        made.append(dataclasses.replace(each, padding=(padding[0], padding[1]), size=pad.size, inputs=pad.inputs))
        fused.add(pad)
    return tuple(each for each in made if each not in fused)
