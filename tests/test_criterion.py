"""What matters: scores of the weights' shape, by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse import criterion


@pytest.mark.parametrize("name", sorted(criterion.CRITERIA))
@given(shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)), seed=st.integers(0, 1000))
def test_scores_are_finite_and_of_the_same_shape(name: str, shape: tuple[int, ...], seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    before = weights.copy()
    scores = criterion.get(name)(weights)
    assert scores.shape == weights.shape
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(weights, before)


def test_magnitude() -> None:
    assert criterion.magnitude(np.float32([[-2.0, 0.5], [0.0, -0.0]])).tolist() == [[2.0, 0.5], [0.0, 0.0]]


def test_an_unknown_criterion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"Unknown criterion.*\['magnitude'\].*criterion='magnitud'"):
        criterion.get("magnitud")
