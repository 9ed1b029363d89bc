"""The contract of a target: what it says about every layer of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from keras_sparse.pattern import NofM, Pattern, RankedPattern
from keras_sparse.targets.evidence import Evidence
from keras_sparse.targets.network import Layer, Network

LATENCY, SIZE = "latency", "size"
"""What zeros may buy."""


@dataclass(frozen=True)
class Offer:
    """A pattern that a layer could have, and what the target then does with it.

    Attributes:
        pattern: with the sparsity that is advised.
        kernel: what the target then runs.
        evidence: gains over dense, one entry for each condition that was measured or is cited.
        unmeasured: conditions that the target has too, and nobody has measured, such as "AArch64".
        buys: LATENCY or SIZE.
    """

    pattern: Pattern
    kernel: str
    evidence: tuple[Evidence, ...]
    unmeasured: tuple[str, ...] = ()
    buys: str = LATENCY

    @property
    def sparsity(self) -> float:
        """The fraction of zeros that is advised."""
        if isinstance(self.pattern, NofM):
            return 1 - self.pattern.n / self.pattern.m
        assert isinstance(self.pattern, RankedPattern)
        return self.pattern.sparsity

    @property
    def break_even(self) -> float | None:
        """The fraction of zeros from which on it is no slower (or larger) than dense in any condition that is known.

        `None` where none is, or one has no such fraction within what was measured.
        """
        found = [each.break_even for each in self.evidence]
        return max((at for at in found if at is not None), default=None) if None not in found else None

    @property
    def pays(self) -> bool:
        """Whether the advised sparsity is faster (or smaller) in one condition and no worse in any, all being known."""
        ranges = [each.range(self.sparsity) for each in self.evidence]
        known = [each for each in ranges if each is not None]
        return (
            not self.unmeasured
            and len(known) == len(ranges) > 0
            and min(known)[0] >= NO_WORSE
            and max(high for _, high in known) > 1.0
        )


NO_WORSE = 0.98
"""A gain that counts as none lost: what repeated measurements differ by."""


@dataclass(frozen=True)
class Verdict:
    """What a target says about one layer.

    Attributes:
        kernel: what it runs for the layer as it is.
        offer: what would pay, or could where nobody has measured; `None` where nothing does.
        reasons: why nothing pays, or what to know about what does.
        fault: what is wrong with the layer in the file; `None` for all that runs.
    """

    kernel: str
    offer: Offer | None = None
    reasons: tuple[str, ...] = field(default=())
    fault: str | None = None


class Target(ABC):
    """A runtime, or another place where a model goes. A new one is a subclass, in a file of its own.

    Attributes:
        name: what users call it.
        suffix: of its files; `None` where it has none of its own.
        schemes: what `ks.export` can write for it, the fastest dense one first.
        about: one line for those who choose.
        saturates: whether it cuts off sums of two int8 products on some of its processors, so that exports keep weights
            within 7 bits.
    """

    name: ClassVar[str]
    suffix: ClassVar[str | None]
    schemes: ClassVar[tuple[str, ...]]
    about: ClassVar[str]
    saturates: ClassVar[bool] = False

    @abstractmethod
    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        """One `Verdict` for each layer of the network, in order."""

    def reads(self, suffix: str) -> bool:
        """Whether it takes files that end so."""
        return self.suffix == suffix

    def __repr__(self) -> str:
        return f"<target {self.name}>"


def dense(layer: Layer) -> str:
    """The dense kernel of a layer, in words."""
    return f"dense {layer.scheme}"
