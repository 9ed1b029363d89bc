from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.targets.evidence import CITED, MEASURED, Evidence


def measured(*points: tuple[float, float]) -> Evidence:
    return Evidence(MEASURED, "dense", "here", "so", points=points)


def test_gains_between_points_are_interpolated_in_time() -> None:
    gains = measured((0.75, 0.95), (0.8, 1.13), (0.9, 1.9))
    assert gains.gain(0.8) == pytest.approx(1.13) and gains.is_point(0.8)
    assert gains.gain(0.85) == pytest.approx(2 / (1 / 1.13 + 1 / 1.9)) and not gains.is_point(0.85)
    assert gains.gain(0.7) is None and gains.gain(0.95) is None


@pytest.mark.parametrize(
    ("points", "at"),
    [
        (((0.75, 0.95), (0.8, 1.13)), 0.7657),
        (((0.9, 0.66), (0.95, 1.15)), 0.9399),
        (((0.5, 1.2), (0.9, 3.0)), 0.5),  # below the first point nothing is known
        (((0.5, 0.2), (0.95, 0.99)), None),
        (((0.5, 0.2), (0.8, 1.0)), 0.8),
    ],
)
def test_the_break_even_lies_where_the_time_is_that_of_dense(points, at) -> None:
    found = measured(*points).break_even
    assert found == (None if at is None else pytest.approx(at, abs=1e-4))
    if at is not None:
        assert measured(*points).gain(found) == pytest.approx(max(1.0, points[0][1]))


def test_a_citation_has_a_span_and_a_threshold() -> None:
    cited = Evidence(CITED, "dense", "them", "there", span=(1.2, 2.4), threshold=2 / 3)
    assert cited.range(0.8) == (1.2, 2.4) and cited.gain(0.8) is None and cited.break_even == 2 / 3
    assert measured((0.5, 1.5)).range(0.5) == (1.5, 1.5)


@given(st.lists(st.floats(0.05, 20), min_size=2, max_size=6), st.floats(0, 1))
def test_an_interpolated_gain_lies_between_its_neighbours(gains, share) -> None:
    points = [(i / 10, gain) for i, gain in enumerate(gains)]
    (low, slow), (high, fast) = points[:2]
    at = low + share * (high - low)
    assert min(slow, fast) - 1e-9 <= measured(*points).gain(at) <= max(slow, fast) + 1e-9
