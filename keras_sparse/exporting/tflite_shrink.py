"""The main graph of a `.tflite` file without its constant and unread channels."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from keras_sparse.exporting import tflite_fold, tflite_layers, tflite_model, tflite_ranges, tflite_removal
from keras_sparse.exporting import tflite_links as links
from keras_sparse.exporting.stored import said
from keras_sparse.exporting.tflite_checked import DAMAGE
from keras_sparse.exporting.tflite_liveness import Channels, output_name
from keras_sparse.exporting.tflite_model import TYPES, Graph

RANGES = {TYPES["int8"]: (-128, 127), TYPES["uint8"]: (0, 255), TYPES["int16"]: (-32768, 32767)}
UNIT = (-1.0, 1.0)

CHANNELS, MOST_CHANNELS = 4, 1 << 20
"""Channels of int8 tensors for each byte of a file, and those that any file may have: each costs time and memory."""


@dataclass(frozen=True)
class LayerReport:
    """One layer: its output channels; how many of them are constant, and on how many others no output depends; how
    many of both were removed; the weights that were set to zero and stay; and why constant channels stay (empty if none
    does). `left` is why a layer was not looked into.
    """

    name: str
    operation: str
    channels: int
    constant: int
    unread: int
    removed: int
    zeros: int
    stay: str
    left: str


@dataclass(frozen=True)
class Shrunk:
    """`data` is the file, the same bytes where nothing was found."""

    data: bytes
    layers: tuple[LayerReport, ...]
    notes: tuple[str, ...]
    macs_before: int
    macs_after: int
    input_ranges: dict[str, tuple[float, float]]


def shrink(data):
    """A `Shrunk` of the bytes of a file. Raises ValueError for what is no `.tflite` file."""
    model = tflite_model.load(data)
    try:
        return _shrink(data, model)
    except DAMAGE as error:
        raise ValueError(f"a damaged .tflite file: {said(error)}") from error


def _shrink(data, model):
    graph = Graph(model)
    macs, inputs = _macs(graph), _input_ranges(model, graph)
    notes = _notes(model)
    if TYPES["int8"] not in {tensor.type for tensor in graph.tensors}:
        return Shrunk(data, (), notes, macs, macs, inputs)
    if any(buffer.offset > 1 for buffer in model.buffers) or any(op.largeCustomOptionsOffset for op in graph.operators):
        return Shrunk(data, (), (*notes, "data lies behind the flatbuffer: left as it is"), macs, macs, inputs)
    _bounded(graph, MOST_CHANNELS + CHANNELS * len(data))
    layers, left = tflite_layers.find(graph)
    known = tflite_ranges.find(graph, layers)
    before = {place: layer.weights for place, layer in layers.items()}
    tflite_fold.fold(layers, known)
    channels = Channels(graph, layers, known)
    reports = _reports(graph, layers, left, known, channels, before)
    if not any(each.removed or each.zeros for each in reports):
        return Shrunk(data, reports, notes, macs, macs, inputs)
    tflite_removal.write(graph, layers, channels)
    tflite_model.compact(model)
    return Shrunk(tflite_model.dump(model), reports, notes, macs, _macs(graph), inputs)


def _reports(graph, layers, left, known, channels, before):
    reports = []
    for place in sorted([*layers, *left]):
        kind, name = graph.name(graph.operators[place]), output_name(graph, place)
        if place in left:
            size = tflite_layers.shape(graph, int(graph.operators[place].outputs[0])) or (0,)
            reports.append(LayerReport(name, kind, size[-1] or 0, 0, 0, 0, 0, "", left[place]))
            continue
        layer = layers[place]
        kept, read = channels.kept(layer.result), channels.kept(layer.source)
        constant = tflite_ranges.constant(known[layer.result])
        causes = Counter(channels.cause(layer.result, each) for each in np.flatnonzero(constant & kept))
        old, new = (np.count_nonzero(_part(layer, each, kept, read)) for each in (before[place], layer.weights))
        stay = "; ".join(f"{count} stay: {cause}" for cause, count in causes.items())
        counts = [int(each.sum()) for each in (constant, ~constant & ~kept, ~kept)]
        reports.append(LayerReport(name, kind, len(kept), *counts, int(old - new), stay, ""))
    return tuple(reports)


def _bounded(graph, most):
    """Raises ValueError where the tensors, whose sizes are only declared, have more channels to look into."""
    channels = sum(links.width(graph, tensor) or 0 for tensor in range(len(graph.tensors)))
    if channels > most:
        raise ValueError(f"its int8 tensors have {channels} channels, more than the {most} that its size allows")


def _part(layer, weights, outputs, inputs):
    return weights[outputs] if layer.depthwise else weights[outputs][:, :, inputs]


def _notes(model):
    notes = []
    if len(model.subgraphs) > 1:
        notes.append(f"{len(model.subgraphs) - 1} more graphs are left as they are: only the main one is run to verify")
    types = {tensor.type for tensor in model.subgraphs[0].tensors}
    if TYPES["int8"] not in types:
        kind = "uint8, of an older scheme" if TYPES["uint8"] in types else "float"
        notes.append(f"nothing to do: the file has no int8 tensors, it is {kind}")
    return tuple(notes)


def _macs(graph):
    """Multiplications of the layers for one run."""
    return sum(_layer_macs(graph, op) for op in graph.operators if graph.name(op) in tflite_layers.KINDS)


def _layer_macs(graph, operator):
    kernel = [int(n) for n in graph.tensors[operator.inputs[1]].shape]
    made = math.prod(int(n) for n in graph.tensors[operator.outputs[0]].shape)
    if graph.name(operator) == "DEPTHWISE_CONV_2D":
        return made * math.prod(kernel[1:3])
    return made * math.prod(kernel[1:])


def _input_ranges(model, graph):
    """`{name of an input: (lowest, highest)}` of values worth trying, by the names that a runtime has for them."""
    signatures = model.signatureDefs or []
    named = {int(each.tensorIndex): each.name for each in signatures[0].inputs} if len(signatures) == 1 else {}
    ranges = {}
    for tensor in map(int, graph.graph.inputs):
        name = named.get(tensor, graph.tensors[tensor].name)
        ranges[name.decode() if isinstance(name, bytes) else name] = _range(graph, tensor)
    return ranges


def _range(graph, tensor):
    kind = graph.tensors[tensor].type
    if kind in RANGES:
        return RANGES[kind]
    made = [int(op.outputs[0]) for op in graph.users(tensor) if graph.name(op) == "QUANTIZE"]
    scaled = tflite_layers.grid(graph, made[0]) if made else None
    if kind != TYPES["float32"] or scaled is None:
        return UNIT if kind in (TYPES["float32"], TYPES["float16"]) else (0, 1)
    return tuple(scaled[0] * (level - scaled[1]) for level in RANGES[TYPES["int8"]])
