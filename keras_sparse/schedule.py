"""When to prune: a schedule maps the optimizer step to progress in [0, 1]; the pattern owns the sparsity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from keras_sparse.shown import shown

Step = int | float
"""An `int` is an optimizer step, a `float` in [0, 1] a fraction of the whole `fit`; 1.0 is its last step."""


def check_step(name: str, value: object) -> Step:
    """`value` as a plain number; what is neither an optimizer step nor a fraction of the fit is refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(
            f"{name} must be an int (an optimizer step) or a float in [0, 1] (a fraction of the fit). "
            f"Received: {name}={shown(value)}"
        )
    if isinstance(value, float) and not 0.0 <= value <= 1.0:
        raise ValueError(
            f"{name} as a float is a fraction of the fit and must lie in [0, 1]; write an int for an "
            f"optimizer step. Received: {name}={shown(value)}"
        )
    if value < 0:
        raise ValueError(f"{name} must not be negative. Received: {name}={shown(value)}")
    return float(value) if isinstance(value, float) else value  # NumPy's float64 is a float that YAML cannot write


def resolve_step(value: Step, origin: int | None, total: int | None) -> int:
    """The optimizer step that `value` names, in a fit of `total` steps whose first one follows step `origin`.

    `None` stands for what is not known; a negative origin for steps that were made with another optimizer.
    """
    if isinstance(value, int):
        return value
    if origin is None or (total is None and value > 0):
        raise ValueError(
            f"{value!r} is a fraction of the fit, but the number of steps of the fit is not known. "
            "Pass steps_per_epoch to fit, or give the schedule in optimizer steps (an int)."
        )
    if origin < 0 < value:
        raise ValueError(
            f"{value!r} is a fraction of the fit, but the optimizer has done {-origin} steps fewer than the epochs "
            "before initial_epoch took. Load the model with its optimizer, fit with initial_epoch=0, or give the "
            "schedule in optimizer steps (an int)."
        )
    return max(0, origin) + round(value * (total or 0))


@dataclass(frozen=True)
class Schedule(ABC):
    """The contract: steps at which updates are due, and the progress at each of them.

    A subclass has its times as fields named in `times` and implements `progress` and `last_update`. Times may be
    fractions; `resolve` gives the same schedule in optimizer steps, and only that one can be asked.
    """

    times: ClassVar[tuple[str, ...]] = ()
    keeps_zeros: ClassVar[bool] = False
    """Whether the mask is the zeros that are there already, rather than what the pattern would choose."""

    def __post_init__(self) -> None:
        for name in self.times:
            object.__setattr__(self, name, check_step(name, getattr(self, name)))
        every = getattr(self, "every", 1)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every is a number of optimizer steps, at least 1. Received: every={shown(every)}")
        moments = [getattr(self, name) for name in self.times]
        comparable = len({type(moment) for moment in moments}) == 1
        if comparable and moments != sorted(moments):
            raise ValueError(f"begin must not come after end. Received: {self}")

    def resolve(self, origin: int | None, total: int | None) -> Schedule:
        """The same schedule with every time as an optimizer step.

        Args:
            origin: optimizer steps done before the fit; `None` if not known, which fractions refuse.
            total: optimizer steps of the whole fit; `None` if not known, which fractions other than 0.0 refuse.
        """
        steps = {name: resolve_step(getattr(self, name), origin, total) for name in self.times}
        return replace(self, **steps) if steps else self

    @abstractmethod
    def progress(self, step: int) -> float:
        """Progress in [0, 1] at an optimizer step."""

    @abstractmethod
    def last_update(self, step: int) -> int | None:
        """The last step at which an update is due, no later than `step`; `None` if none is due yet."""

    def due(self, last: int, step: int) -> int | None:
        """The newest update due in `(last, step]`, or `None`. Several missed ones count as the newest."""
        update = self.last_update(step)
        return update if update is not None and update > last else None

    @property
    def final_step(self) -> int:
        """The step of the last update (of a resolved schedule)."""
        return int(getattr(self, self.times[-1])) if self.times else 0

    def to_dict(self) -> dict[str, object]:
        return {"name": type(self).__name__, **{f.name: getattr(self, f.name) for f in fields(self)}}


@dataclass(frozen=True)
class OneShot(Schedule):
    """The whole sparsity in one update: progress 0 before step `at`, 1 from it on (Han et al. 2015).

    >>> OneShot(at=10).progress(9), OneShot(at=10).progress(10)
    (0.0, 1.0)
    """

    at: Step
    times: ClassVar[tuple[str, ...]] = ("at",)

    def progress(self, step: int) -> float:
        return float(step >= self.at)

    def last_update(self, step: int) -> int | None:
        return int(self.at) if step >= self.at else None


@dataclass(frozen=True)
class Constant(Schedule):
    """The zeros present when training begins stay zero (sparse transfer; SparseML's ConstantPruning).

    Nothing new is pruned: a layer with fewer zeros than its pattern asks for is refused.

    >>> Constant().progress(0)
    1.0
    """

    keeps_zeros: ClassVar[bool] = True

    def progress(self, step: int) -> float:
        return 1.0

    def last_update(self, step: int) -> int | None:
        return 0


@dataclass(frozen=True)
class _Ramp(Schedule):
    """A rise from `begin` to `end` with an update at `begin`, every `every` steps after it, and always at `end`."""

    begin: Step
    end: Step
    every: int = 100
    times: ClassVar[tuple[str, ...]] = ("begin", "end")

    def fraction(self, step: int) -> float:
        if self.begin < step < self.end:
            return (step - self.begin) / (self.end - self.begin)
        return float(step >= self.end)

    def last_update(self, step: int) -> int | None:
        begin, end = int(self.begin), int(self.end)
        if step < begin:
            return None
        return end if step >= end else begin + (step - begin) // self.every * self.every


@dataclass(frozen=True)
class Linear(_Ramp):
    """progress = t, with t = (step - begin) / (end - begin) held to [0, 1].

    >>> Linear(begin=0, end=10).progress(5)
    0.5
    """

    def progress(self, step: int) -> float:
        return self.fraction(step)


@dataclass(frozen=True)
class Cubic(_Ramp):
    """progress = 1 - (1 - t)^3: fast first, slow at the end (Zhu & Gupta 2017, eq. 1 with s_i = 0; also "AGP").

    Args:
        begin, end: first and last update; an `int` is an optimizer step, a `float` a fraction of the fit.
        every: optimizer steps between updates. The one at `end` is always made.

    >>> Cubic(begin=0, end=10).progress(5)
    0.875
    """

    def progress(self, step: int) -> float:
        return 1.0 - (1.0 - self.fraction(step)) ** 3
