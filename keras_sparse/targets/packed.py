"""The packed form: what zeros are worth in bytes, by the entropy of their places."""

from __future__ import annotations

import math
from typing import ClassVar

from keras_sparse.pattern import Block, NofM, Pattern, Unstructured
from keras_sparse.targets.contract import SIZE, Offer, Target, Verdict
from keras_sparse.targets.evidence import COMPUTED, Evidence
from keras_sparse.targets.network import BITS, SCHEMES, Layer, Network

ADVISED = 0.9
CURVE = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)
"""Sparsities whose gains are stated."""


class Packed(Target):
    """Files as `ks.pack` stores them. Any runtime runs them once they are unpacked, at the speed it has for them."""

    name: ClassVar[str] = "packed"
    suffix: ClassVar[str | None] = None
    schemes: ClassVar[tuple[str, ...]] = SCHEMES
    about: ClassVar[str] = "bytes of the packed form of a file, for any runtime"

    def verdicts(self, network: Network) -> tuple[Verdict, ...]:
        return tuple(self._verdict(layer) for layer in network.layers)

    def reads(self, suffix: str) -> bool:
        return suffix in (".tflite", ".onnx")

    def _verdict(self, layer: Layer) -> Verdict:
        scheme = (layer.stored and layer.stored.scheme) or layer.scheme
        offer = Offer(Unstructured(ADVISED), "entropy-coded places and values", (evidence(scheme),), buys=SIZE)
        now = entropy(layer.sparsity) + BITS[scheme] * (1 - layer.sparsity)
        others = ", ".join(
            f"{name} {bits_per_weight(pattern, scheme):.2f}"
            for name, pattern in (("2:4", NofM(2, 4)), ("1:4", NofM(1, 4)), ("1x16 blocks", Block((1, 16), ADVISED)))
        )
        note = (
            f"bits per weight at {ADVISED:.0%}: {bits_per_weight(offer.pattern, scheme):.2f}, "
            f"dense {BITS[scheme]}; {others}. Values that are not uniform need 7 to 10 % less"
        )
        return Verdict(f"at most {now:.2f} bits a weight, {math.ceil(now * layer.size / 8)} B", offer, (note,))


def entropy(fraction: float) -> float:
    """Bits for one place of a random mask with that fraction of zeros: `H(s) = -s log2 s - (1 - s) log2 (1 - s)`.

    >>> entropy(0.5)
    1.0
    """
    return -sum(p * math.log2(p) for p in (fraction, 1 - fraction) if p > 0)


def bits_per_weight(pattern: Pattern, scheme: str) -> float:
    """The bound on bits per weight: the places of a pattern, and the values that are left at full width.

    Unstructured `H(s) + b (1 - s)`, blocks of n weights `H(s) / n + b (1 - s)`, N:M `log2 C(m, n) / m + b n / m`, with
    b bits a value. Source: Shannon's entropy of the mask, each place as likely as any other.

    >>> round(bits_per_weight(Unstructured(0.9), "int8"), 3), round(bits_per_weight(NofM(2, 4), "int8"), 3)
    (1.269, 4.646)
    """
    bits = BITS[scheme]
    if isinstance(pattern, NofM):
        return math.log2(math.comb(pattern.m, pattern.n)) / pattern.m + bits * pattern.n / pattern.m
    if isinstance(pattern, Block):
        rows, cols = pattern.shape
        return entropy(pattern.sparsity) / (rows * cols) + bits * (1 - pattern.sparsity)
    if isinstance(pattern, Unstructured):
        return entropy(pattern.sparsity) + bits * (1 - pattern.sparsity)
    raise TypeError(f"There is no bound for the pattern {pattern!r}")


def evidence(scheme: str) -> Evidence:
    """How many times smaller than dense, at the bound, for unstructured zeros."""
    points = ((0.0, 1.0), *((s, BITS[scheme] / bits_per_weight(Unstructured(s), scheme)) for s in CURVE))
    return Evidence(
        COMPUTED,
        against=f"dense {scheme}, uncompressed",
        source="entropy bound: places of the zeros, and values at full width",
        repeat="keras_sparse.targets.packed.bits_per_weight",
        points=points,
    )
