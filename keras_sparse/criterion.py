"""What matters: a criterion turns weights into scores of the same shape; the lowest scores are pruned first."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_sparse.shown import shown

Criterion = Callable[[np.ndarray], np.ndarray]


def magnitude(weights: np.ndarray) -> np.ndarray:
    """score = |w| (Han et al. 2015).

    >>> magnitude(np.array([-2.0, 0.5])).tolist()
    [2.0, 0.5]
    """
    return np.asarray(np.abs(weights))


CRITERIA: dict[str, Criterion] = {criterion.__name__: criterion for criterion in (magnitude,)}


def get(name: str) -> Criterion:
    """The criterion of that name; an unknown one is refused with the known ones."""
    if not isinstance(name, str) or name not in CRITERIA:
        raise ValueError(f"Unknown criterion. Known ones: {sorted(CRITERIA)}. Received: criterion={shown(name)}")
    return CRITERIA[name]
