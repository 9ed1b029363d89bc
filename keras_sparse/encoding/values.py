"""The values of weight tensors: bytes with models for groups of channels, and the byte planes of wider words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from keras_sparse_edge.spans import Groups, Plane, Record
from keras_sparse_edge.weights import label_frequencies, plane_peaks
from numpy.typing import NDArray

from keras_sparse.encoding.histogram import Model, fit_values
from keras_sparse.encoding.rans import Run

RAW = 0.99
"""A plane that entropy coding does not bring below this part of its bytes is stored as it is, which is faster."""

COUNTS = (2, 4, 8, 16)
"""How many groups of channels are tried, beside one for all."""

MOST_CHANNELS = 2**14
"""Where there are more, as in vectors and long embeddings, each says too little, and counting them takes memory."""

RECORD = 32
"""Bits that groups take in the record."""

View = tuple[NDArray[np.uint8], NDArray[np.bool_], int]
"""Items as three axes, which of them are to be coded, and the axis of the channels."""


@dataclass(frozen=True, eq=False)
class Values:
    """Values as the format holds them: what the record says of them, symbols with their models, bits in the file."""

    groups: Groups | None
    planes: tuple[Plane, ...]
    runs: list[Run]
    raw: bytes
    bits: float


def code_bytes(views: Sequence[View], record: Record) -> Values:
    """Values of one byte: the channels of one of the views in groups, or all in one; what is smallest.

    Channels whose values spread alike are a group: those of int8 weights fill their range, and some do so with one
    large value.
    """
    peak, never = plane_peaks(record)
    flip = np.uint8(record.kind.flip)
    values = views[0][0][views[0][1]] ^ flip
    models = fit_values(np.bincount(values, minlength=256)[None], peak, never)
    best: tuple[float, list[Model], View | None, NDArray[np.uint8]]
    best = models[0].bits, models, None, np.empty(0, np.uint8)
    for each in views:
        channels = each[0].shape[each[2]]
        if not 1 < channels <= MOST_CHANNELS:
            continue
        counts = _counts(each, flip)
        order = np.argsort(_spread(counts, record.background ^ record.kind.flip), kind="stable")
        for count in COUNTS:
            if count > channels:
                break
            labels = np.empty(channels, np.uint8)
            labels[order] = np.arange(channels) * count // channels
            grouped = np.stack([counts[labels == group].sum(0) for group in range(count)])
            models = fit_values(grouped, peak, never)
            bits = sum(model.bits for model in models) + channels * np.log2(count) + RECORD
            if bits < best[0]:
                best = bits, models, each, labels
    bits, models, view, labels = best
    plane = (Plane(models[0].spacing, models[0].low, models[0].high),)
    if view is None:
        return Values(None, plane, [models[0].run, (values, models[0].frequencies)], b"", bits)
    runs: list[Run] = [(labels, label_frequencies(len(models)))]
    for group, model in enumerate(models):
        runs += [model.run, (_of_group(view, labels == group, record) ^ flip, model.frequencies)]
    shape = view[0].shape
    groups = Groups(len(models), (shape[0], shape[1], shape[2]), view[2])
    return Values(groups, plane, runs, b"", bits)


def code_planes(words: NDArray[np.unsignedinteger]) -> Values:
    """Values of two or four bytes, one byte after the other."""
    planes, runs, raw, bits = [], [], [], 0.0
    for plane in to_planes(words):
        (model,) = fit_values(np.bincount(plane, minlength=256)[None], None, None)
        if model.bits < RAW * 8 * plane.size:
            planes.append(Plane(model.spacing, model.low, model.high))
            runs += [model.run, (plane, model.frequencies)]
            bits += model.bits
        else:
            planes.append(Plane(0))
            raw.append(plane.tobytes())
            bits += 8 * plane.size
    return Values(None, tuple(planes), runs, b"".join(raw), bits)


def to_planes(words: NDArray[np.unsignedinteger]) -> list[NDArray[np.uint8]]:
    """The bytes of each word, low ones first, after its bits are rotated left by one.

    >>> [plane.tolist() for plane in to_planes(np.array([0x8001], np.uint16))]
    [[3], [0]]
    """
    one, other = words.dtype.type(1), words.dtype.type(8 * words.itemsize - 1)
    turned = (words << one) | (words >> other)
    planes = turned.astype(words.dtype.newbyteorder("<")).reshape(-1, 1).view(np.uint8)
    return [np.ascontiguousarray(plane) for plane in planes.T]


def _of_group(view: View, mine: NDArray[np.bool_], record: Record) -> NDArray[np.uint8]:
    """The values of the channels `mine`, in the order that the decoder takes them."""
    items, kept, axis = view
    if record.positions is None:
        return np.moveaxis(items, axis, 0)[mine].reshape(-1)
    along = np.expand_dims(mine, [other for other in range(3) if other != axis])
    return items[kept & along]


def _counts(view: View, flip: np.uint8) -> NDArray[np.int64]:
    """How often each of 256 symbols comes in each channel."""
    items, kept, axis = view
    channels = items.shape[axis]
    shape = [channels if other == axis else 1 for other in range(3)]
    labels = np.broadcast_to(np.arange(channels).reshape(shape), items.shape)[kept]
    return np.bincount(labels * 256 + (items[kept] ^ flip), minlength=256 * channels).reshape(channels, 256)


def _spread(counts: NDArray[np.int64], background: int) -> NDArray[np.float64]:
    """The mean distance of each channel's values from the background."""
    distance = np.abs(np.arange(256) - background)
    mean: NDArray[np.float64] = counts @ distance / np.maximum(1, counts[:, distance > 0].sum(1))
    return mean
