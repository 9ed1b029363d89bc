"""How much where: how the zeros of one rule are shared out over the tensors that it matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from keras_sparse.pattern import Pattern, RankedPattern
from keras_sparse.shown import shown

Allocation = Callable[[Pattern, Sequence[np.ndarray], float], list[np.ndarray]]


def layer(pattern: Pattern, scores: Sequence[np.ndarray], progress: float) -> list[np.ndarray]:
    """Every tensor gets the pattern's own sparsity."""
    return [pattern.mask(each, progress) for each in scores]


def global_(pattern: Pattern, scores: Sequence[np.ndarray], progress: float) -> list[np.ndarray]:
    """One ranking over all tensors: together they get the pattern's sparsity, each what the ranking leaves it."""
    if not isinstance(pattern, RankedPattern):
        raise TypeError(f"A pattern that ranks its units is needed for one ranking. Received: {pattern}")
    return pattern.masks(scores, progress)


SCOPES: dict[str, Allocation] = {"layer": layer, "global": global_}


def get(scope: str) -> Allocation:
    """The allocation of that name; an unknown one is refused with the known ones."""
    if not isinstance(scope, str) or scope not in SCOPES:
        raise ValueError(f"Unknown scope. Known ones: {sorted(SCOPES)}. Received: scope={shown(scope)}")
    return SCOPES[scope]
