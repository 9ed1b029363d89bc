"""Which channels must stay: those that an output depends on, and those that cannot be told apart from them."""

import math

import numpy as np

from keras_sparse.exporting import tflite_links as links
from keras_sparse.exporting import tflite_ranges as ranges

OUTPUT = "they are an output of the graph"
INPUT = "they are an input of the graph"
STORED = "they are stored in the file"
LAST = "no tensor loses all its channels"
COLUMN = "a matrix times a vector keeps 4 outputs and 8 inputs, fewer go through another kernel"
# LiteRT's own on Arm. And with one scale left of many, FULLY_CONNECTED takes its multiplier from float32.

BLOCKS = "without delegates, LiteRT rounds whole groups of 8 or 16 channels otherwise than the rest"
# Channels of whole groups must stay in whole groups, and the rest in the rest.

INPUT_BLOCKS = "its weights are stored in blocks, and inputs must fill them"
"""Of the operation that reads the channels."""

COLUMN_OUTPUTS, COLUMN_INPUTS = 4, 8


class Channels:
    """All channels of a graph, in groups that stay or go together.

    Args:
        graph: the `Graph`.
        layers: its layers, after `fold`: a channel whose weights are all zero is not read.
        known: the ranges of all channels.
    """

    def __init__(self, graph, layers, known):
        self._graph, self._layers, self._known, self._start, count = graph, layers, known, {}, 0
        for tensor, (lowest, _) in known.items():
            self._start[tensor] = count
            count += len(lowest)
        self._parent, self._causes = np.arange(count), {}
        understood = self._tied()
        self._keep_all(graph.graph.outputs, OUTPUT)
        self._keep_all(graph.graph.inputs, INPUT)
        made = {int(tensor) for operator in graph.operators for tensor in operator.outputs}
        sources = {layer.source for layer in layers.values()}
        self._keep_all(
            [each for each in known if each not in made and (each in sources or graph.constant(each) is None)], STORED
        )
        for place, operator in enumerate(graph.operators):
            if place not in layers:
                self._keep_all(set(map(int, operator.inputs)) - understood[place], f"{title(graph, place)} reads them")
            if place not in layers and not understood[place]:
                self._keep_all(operator.outputs, f"{title(graph, place)} makes them")
        self._keep_what_is_read()
        while self._keep_a_last_one() or self._complete_blocks():
            self._keep_what_is_read()

    def kept(self, tensor):
        """A mask of the channels of a tensor."""
        start = self._start[tensor]
        return np.array([self._root(start + i) in self._causes for i in range(len(self._known[tensor][0]))])

    def cause(self, tensor, channel):
        """Why a channel that is kept stays, in words."""
        return self._causes[self._root(self._start[tensor] + channel)]

    def _root(self, place):
        while self._parent[place] != place:
            self._parent[place] = place = self._parent[self._parent[place]]
        return int(place)

    def _tied(self):
        """Ties what operations tie; returns, for each place, the sources whose channels the operation tells apart."""
        understood = {}
        for place, operator in enumerate(self._graph.operators):
            layer = self._layers.get(place)
            found = links.tied(self._graph, operator) if layer is None else []
            if layer is not None and layer.depthwise:
                found = [links.Link(layer.source, layer.inputs, layer.result, np.arange(len(layer.inputs)))]
            for link in found or ():
                if not link.broadcast and (layer is not None or self._graph.constant(link.source) is None):
                    starts = self._start[link.source], self._start[link.result]
                    for one, other in zip(starts[0] + link.inputs, starts[1] + link.outputs, strict=True):
                        self._parent[self._root(one)] = self._root(other)
            understood[place] = {link.source for link in found or ()}
        return understood

    def _keep(self, tensor, channels, cause):
        """Whether any of them was free to go before."""
        new = {self._root(self._start[tensor] + int(channel)) for channel in channels} - self._causes.keys()
        self._causes.update(dict.fromkeys(new, cause))
        return bool(new)

    def _keep_all(self, tensors, cause):
        for tensor in map(int, tensors):
            if tensor in self._start:
                self._keep(tensor, range(len(self._known[tensor][0])), cause)

    def _keep_what_is_read(self):
        """What an output channel that stays reads with a weight that is not zero, stays; until nothing changes."""
        changed = True
        while changed:
            changed = False
            for place, layer in reversed(self._layers.items()):
                if not layer.depthwise:
                    read = layer.weights[self.kept(layer.result)].any((0, 1))
                    still = ranges.constant(self._known[layer.source])
                    name = title(self._graph, place)
                    moves = f"{name} reads what becomes of them"
                    stays = f"{name} has no bias that fits " + ("its border" if len(layer.windows) > 1 else "int32")
                    changed |= self._keep(layer.source, np.flatnonzero(read & ~still), moves)
                    changed |= self._keep(layer.source, np.flatnonzero(read & still), stays)

    def _keep_a_last_one(self):
        """Whether a tensor would have lost all its channels, or a layer so many that its kernel does not fit."""
        for place, operator in reversed([*enumerate(self._graph.operators)]):
            for tensor in self._start.keys() & set(map(int, operator.outputs)):
                if self._keep_some(tensor, 0, len(self._known[tensor][0]), 1, LAST):
                    return True
            layer = self._layers.get(place)
            if layer is not None and (layer.columns == 1 or layer.kind == "FULLY_CONNECTED") and not layer.depthwise:
                outputs, taps, inputs = layer.weights.shape
                least = min(math.ceil(COLUMN_INPUTS / taps), inputs)
                if self._keep_some(layer.result, 0, outputs, min(COLUMN_OUTPUTS, outputs), COLUMN):
                    return True
                if self._keep_some(layer.source, 0, inputs, least, COLUMN):
                    return True
            if layer is not None and layer.channels_at_once > 1:
                inputs, step = layer.weights.shape[2], layer.channels_at_once
                count = -(-int(self.kept(layer.source).sum()) // step) * step
                if self._keep_some(layer.source, 0, inputs, count, f"{title(self._graph, place)}: {INPUT_BLOCKS}"):
                    return True
        return False

    def _complete_blocks(self):
        """Whether a kernel that takes channels in blocks would have got some that are not whole."""
        for operator in reversed(self._graph.operators):
            block = links.block(self._graph, operator)
            tensor = int(operator.outputs[0]) if len(operator.outputs) else None
            if block is not None and tensor in self._start:
                kept = self.kept(tensor)
                whole = len(kept) // block * block
                count = -(-kept[:whole].sum() // block) * block
                if self._keep_some(tensor, 0, whole, count, BLOCKS):
                    return True
                if self._keep_some(tensor, whole, len(kept), min(1, len(kept) - whole), BLOCKS):
                    return True
        return False

    def _keep_some(self, tensor, start, stop, count, cause):
        """Keeps channels from `start` to `stop` until `count` of them stay, constant ones first."""
        kept, still = self.kept(tensor), ranges.constant(self._known[tensor])
        free = [at for at in range(start, stop) if not kept[at]]
        missing = count - int(kept[start:stop].sum())
        return missing > 0 and self._keep(tensor, sorted(free, key=lambda at: not still[at])[:missing], cause)


def title(graph, place):
    """An operation in words: its kind and the name of its output."""
    return f"{graph.name(graph.operators[place])} {output_name(graph, place)!r}"


def output_name(graph, place):
    """The name of an operation's output; the first one where the converter put those of all that it fused."""
    outputs = graph.operators[place].outputs
    name = graph.tensors[outputs[0]].name if len(outputs) else ""
    return (name.decode("utf-8", "replace") if isinstance(name, bytes) else name or "").split(";")[0]
