"""Values: groups of channels where they pay, byte planes of wider words."""

from __future__ import annotations

import numpy as np
from keras_sparse_edge.spans import KINDS, Record

from keras_sparse.encoding.values import code_bytes, code_planes, to_planes


def test_groups_are_made_where_channels_differ():
    rng = np.random.default_rng(0)
    scales = np.where(np.arange(40) % 2, 5.0, 60.0)
    record = Record(0, 40 * 300, KINDS[0])
    for axis, values in (
        (1, rng.normal(size=(1, 40, 300)) * scales[:, None]),
        (2, rng.normal(size=(1, 300, 40)) * scales),
    ):
        items = np.clip(np.rint(values), -127, 127).astype(np.int8).view(np.uint8)
        coded = code_bytes([(items, np.ones(items.shape, bool), axis)], record)
        assert (coded.groups.count, coded.groups.axis, coded.groups.channels) == (2, axis, 40)
        labels = coded.runs[0][0]
        assert (labels == labels[0]).sum() == 20
        assert (labels[::2] == labels[0]).all()
        alone = code_bytes([(items, np.ones(items.shape, bool), 0)], record)
        assert alone.groups is None
        assert coded.bits < 0.95 * alone.bits


def test_channels_that_are_alike_are_one_group():
    items = np.random.default_rng(0).normal(0, 30, (1, 40, 300)).astype(np.int8).view(np.uint8)
    assert code_bytes([(items, np.ones(items.shape, bool), 1)], Record(0, items.size, KINDS[0])).groups is None


def test_planes():
    words = np.array([1.0, -1.5], np.float32).view(np.uint32)  # 0x3f800000, 0xbfc00000
    assert [plane.tolist() for plane in to_planes(words)] == [[0, 1], [0, 0], [0, 0x80], [0x7F, 0x7F]]


def test_a_plane_without_order_is_stored_as_it_is():
    floats = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    coded = code_planes(floats.view(np.uint32))
    assert [plane.spacing == 0 for plane in coded.planes] == [True, True, True, False]
    assert coded.raw == b"".join(plane.tobytes() for plane in to_planes(floats.view(np.uint32))[:3])
    assert 26 < coded.bits / 20_000 < 27.5
