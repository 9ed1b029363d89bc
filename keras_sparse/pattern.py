"""Which zeros: a pattern turns scores and progress into a mask, True where a weight stays.

Scores come as a stack of matrices `(positions, rows, cols)`: rows are output channels and cols are inputs as the
runtime stores them, one matrix per kernel position (`layout.py` makes it; a Dense kernel has one position, a 3x3
convolution nine). Groups and blocks never reach over the edge of a matrix.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from keras_sparse.shown import shown


def check_sparsity(sparsity: object) -> float:
    """`sparsity` as a plain float; what is no fraction is refused."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, int | float) or not 0.0 <= sparsity <= 1.0:
        raise ValueError(f"sparsity is the fraction of zeros, in [0, 1]. Received: sparsity={shown(sparsity)}")
    return float(sparsity)


def check_count(name: str, value: object) -> None:
    """Refuses what is no whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1. Received: {name}={shown(value)}")


def count(fraction: float, size: int) -> int:
    """`fraction` of `size` as a whole number, halves up: the exact number of zeros that a target means."""
    return int(np.floor(fraction * size + 0.5 + 1e-9))


def keep_highest(scores: np.ndarray, zeros: int) -> np.ndarray:
    """A mask over flat `scores` with exactly `zeros` False: the lowest scores, equal ones by lower index first."""
    if zeros <= 0:
        return np.ones(scores.shape, bool)
    if zeros >= scores.size:
        return np.zeros(scores.shape, bool)
    threshold = np.partition(scores, zeros - 1)[zeros - 1]
    mask: np.ndarray = scores > threshold
    ties = np.flatnonzero(scores == threshold)
    mask[ties[zeros - int(np.count_nonzero(scores < threshold)) :]] = True
    return mask


@dataclass(frozen=True)
class Pattern(ABC):
    """The contract: `mask(scores, progress)` and `violation(weights)` over `(positions, rows, cols)`."""

    @abstractmethod
    def mask(self, scores: np.ndarray, progress: float) -> np.ndarray:
        """True where a weight stays; the zeros grow with `progress` from none at 0 to the whole pattern at 1."""

    @abstractmethod
    def violation(self, weights: np.ndarray) -> str | None:
        """Where `weights` first break the finished pattern, in words, or `None` where they keep it."""

    def to_dict(self) -> dict[str, object]:
        return {"name": type(self).__name__, **{f.name: getattr(self, f.name) for f in fields(self)}}


class RankedPattern(Pattern):
    """A pattern that prunes whole units in the order of their scores, so that units of several tensors can compete.

    A subclass has a `sparsity` and implements `units` and `spread`.
    """

    sparsity: float

    @abstractmethod
    def units(self, scores: np.ndarray) -> np.ndarray:
        """One score per unit, `(positions, unit rows, unit cols)`."""

    @abstractmethod
    def spread(self, kept: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A mask of `shape` from a mask over units."""

    def mask(self, scores: np.ndarray, progress: float) -> np.ndarray:
        return self.masks([scores], progress)[0]

    def masks(self, scores: Sequence[np.ndarray], progress: float) -> list[np.ndarray]:
        """Masks of several tensors under one threshold: exactly `sparsity` of all their units together."""
        units = [self.units(each) for each in scores]
        flat = np.concatenate([each.ravel() for each in units])
        kept = keep_highest(flat, count(self.sparsity * progress, flat.size))
        parts = np.split(kept, np.cumsum([each.size for each in units])[:-1])
        return [
            self.spread(part.reshape(unit.shape), each.shape)
            for part, unit, each in zip(parts, units, scores, strict=True)
        ]

    def violation(self, weights: np.ndarray) -> str | None:
        units = self.units(np.abs(weights))
        wanted, zeros = count(self.sparsity, units.size), int(np.count_nonzero(units == 0))
        return None if zeros >= wanted else f"{zeros} of {units.size} units are zero, {wanted} were asked for"


@dataclass(frozen=True)
class Unstructured(RankedPattern):
    """Any weight may be zero: exactly `round(sparsity * size)` of them, the lowest scores, ties by index.

    >>> Unstructured(0.5).mask(np.array([[[3.0, 1.0], [2.0, 4.0]]]), 1.0).astype(int).tolist()
    [[[1, 0], [0, 1]]]
    """

    sparsity: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsity", check_sparsity(self.sparsity))

    def units(self, scores: np.ndarray) -> np.ndarray:
        return scores

    def spread(self, kept: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return kept


def _sizes(size: int, step: int) -> np.ndarray:
    """Lengths of the pieces when `size` is cut every `step`."""
    return np.minimum(step, size - np.arange(0, size, step))


@dataclass(frozen=True)
class Block(RankedPattern):
    """Blocks of `rows` output channels by `cols` inputs are zero together: `Block((rows, cols), sparsity)`.

    Exactly `round(sparsity * number of blocks)` blocks, those of the lowest mean score. Blocks that stick out at the
    edge of a matrix are smaller; their mean counts what is there.

    >>> Block((1, 2), 0.4).mask(np.array([[[1.0, 1.0, 5.0, 0.0, 9.0]]]), 1.0).astype(int).tolist()
    [[[0, 0, 1, 1, 1]]]
    """

    shape: tuple[int, int]
    sparsity: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "sparsity", check_sparsity(self.sparsity))
        if not isinstance(self.shape, list | tuple) or len(self.shape) != 2:
            raise ValueError(f"shape is (rows, cols). Received: shape={shown(self.shape)}")
        object.__setattr__(self, "shape", tuple(self.shape))
        for name, value in zip(("rows", "cols"), self.shape, strict=True):
            check_count(name, value)

    def units(self, scores: np.ndarray) -> np.ndarray:
        rows, cols = self.shape
        missing = (-scores.shape[1] % rows, -scores.shape[2] % cols)
        padded = np.pad(scores, ((0, 0), (0, missing[0]), (0, missing[1])))
        blocks = padded.reshape(len(scores), padded.shape[1] // rows, rows, padded.shape[2] // cols, cols)
        sums = blocks.sum(axis=(2, 4), dtype=np.float64)
        return np.asarray(sums / _sizes(scores.shape[1], rows)[:, None] / _sizes(scores.shape[2], cols))

    def spread(self, kept: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        rows, cols = self.shape
        return kept.repeat(rows, axis=1).repeat(cols, axis=2)[:, : shape[1], : shape[2]]

    def to_dict(self) -> dict[str, object]:
        return {"name": "Block", "shape": list(self.shape), "sparsity": self.sparsity}


@dataclass(frozen=True)
class NofM(Pattern):
    """Keeps `n` of every `m` neighbouring inputs of an output channel: `NofM(2, 4)` is NVIDIA's 2:4.

    At progress p it keeps `m - round(p * (m - n))` of m, so it ramps with its schedule. Groups start at the first
    input; a shorter last group keeps as many as a whole one would, at most all of itself.

    >>> NofM(1, 4).mask(np.array([[[1.0, 4.0, 2.0, 3.0, 0.1]]]), 1.0).astype(int).tolist()
    [[[0, 1, 0, 0, 1]]]
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        check_count("n", self.n)
        check_count("m", self.m)
        if self.n > self.m:
            raise ValueError(f"NofM(n, m) keeps n of m, so n is at most m. Received: n={self.n}, m={self.m}")

    def _groups(self, values: np.ndarray, fill: float) -> np.ndarray:
        positions, rows, cols = values.shape
        missing = -cols % self.m
        padded = np.pad(values, ((0, 0), (0, 0), (0, missing)), constant_values=fill)
        return padded.reshape(positions, rows, (cols + missing) // self.m, self.m)

    def mask(self, scores: np.ndarray, progress: float) -> np.ndarray:
        keep = self.m - count(progress, self.m - self.n)
        # What the padding holds sorts first, so a short group loses its padding before its weights.
        order = np.argsort(self._groups(scores, -np.inf), axis=-1, kind="stable")
        kept = np.zeros(order.shape, bool)
        np.put_along_axis(kept, order[..., self.m - keep :], True, axis=-1)
        return kept.reshape(*scores.shape[:2], -1)[..., : scores.shape[2]]

    def violation(self, weights: np.ndarray) -> str | None:
        nonzeros = np.count_nonzero(self._groups(weights, 0.0), axis=-1)
        broken = np.argwhere(nonzeros > self.n)
        if not len(broken):
            return None
        position, row, group = (int(i) for i in broken[0])
        return (
            f"{len(broken)} of {nonzeros.size} groups keep more than {self.n} of {self.m}, first at output channel "
            f"{row}, inputs {group * self.m} to {group * self.m + self.m - 1}, kernel position {position}"
        )
