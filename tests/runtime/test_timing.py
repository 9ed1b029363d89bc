from __future__ import annotations

import pytest

from keras_sparse.runtime import timing


def test_every_file_has_its_turn_in_every_round(files):
    seen = []
    paths = list(files.values())
    seconds = timing.interleaved(paths, 5, progress=lambda done, total: seen.append((done, total)))
    assert list(seconds) == paths
    assert all(len(times) == 5 and min(times) > 0 for times in seconds.values())
    assert seen == [(i, 5) for i in range(1, 6)]


def test_ratios_are_medians_round_by_round():
    seconds = {"a": [2.0, 4.0, 8.0], "b": [1.0, 1.0, 8.0]}
    assert timing.ratios(seconds, "a") == {"a": 1.0, "b": pytest.approx(2.0)}
