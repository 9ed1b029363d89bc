"""What a gain rests on: points that were measured, ranges that others state, or arithmetic."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

MEASURED, CITED, COMPUTED = "measured", "cited", "computed"


@dataclass(frozen=True)
class Evidence:
    """Gains of a sparse kernel over a dense one (times faster, or times smaller), with where they come from.

    Attributes:
        basis: MEASURED, CITED or COMPUTED.
        against: what the gain is over, such as "dense int8".
        source: on what and by whom.
        repeat: the command that repeats a measurement, or the address of what is cited.
        points: ((sparsity, gain), ...) in rising order.
        span: (lowest, highest) gain that a citation states where it gives no points.
        threshold: the fraction of zeros that the kernel asks for, where there are no points.
        condition: under which it holds, such as "weights from memory"; empty where there is none.
    """

    basis: str
    against: str
    source: str
    repeat: str
    points: tuple[tuple[float, float], ...] = ()
    span: tuple[float, float] | None = None
    threshold: float | None = None
    condition: str = ""

    def gain(self, sparsity: float) -> float | None:
        """The gain at a sparsity, or `None` outside the points.

        Between two points the time of the sparse kernel, 1 / gain, is interpolated linearly: it falls with the weights
        that are left.

        >>> round(Evidence(MEASURED, "dense", "", "", points=((0.8, 1.0), (0.9, 2.0))).gain(0.85), 3)
        1.333
        """
        for (low, slow), (high, fast) in itertools.pairwise(self.points):
            if low <= sparsity <= high:
                share = (sparsity - low) / (high - low)
                return 1.0 / ((1 - share) / slow + share / fast)
        return next((gain for at, gain in self.points if at == sparsity), None)

    def range(self, sparsity: float) -> tuple[float, float] | None:
        """The lowest and the highest gain at a sparsity, as far as they are known."""
        gain = self.gain(sparsity)
        return self.span if gain is None else (gain, gain)

    def is_point(self, sparsity: float) -> bool:
        """Whether the gain there is one of the points, and not interpolated."""
        return any(at == sparsity for at, _ in self.points)

    @property
    def break_even(self) -> float | None:
        """The lowest sparsity from which on the sparse kernel is no slower; `None` if no point reaches it.

        Where the first point is faster already, it is that point: what lies below is not known.

        >>> round(Evidence(MEASURED, "dense", "", "", points=((0.75, 0.95), (0.8, 1.13))).break_even, 3)
        0.766
        """
        points = self.points
        for (low, slow), (high, fast) in itertools.pairwise(points):
            if slow < 1.0 <= fast:
                return low + (1 / slow - 1) / (1 / slow - 1 / fast) * (high - low)
        if points:
            return points[0][0] if points[0][1] >= 1.0 else None
        return self.threshold
