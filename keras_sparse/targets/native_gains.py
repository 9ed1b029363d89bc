"""How much faster the native kernels are, layer by layer: what was measured, one file for each kind of processor.

`benchmarks/native_kernels.py --layers --write` measures the machine that it runs on and writes `measured/KERNELS.json`,
and the library's table of break-evens from it.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

Points = tuple[tuple[float, float], ...]
"""((sparsity, gain over XNNPACK dense int8), ...)."""


@dataclass(frozen=True)
class Gains:
    """Of one processor.

    Attributes:
        kernels: the instruction set, as `ks.delegate` calls it.
        machine, date, litert: what it was measured on, when, and with which version of LiteRT.
        command: what repeats it.
        convolutions: {(pixels of the output, inputs, outputs, kernel positions): gains}, in 1x4 blocks.
        connected: {(inputs, outputs): gains}, for a vector at a time, in 16x4 blocks.
        break_evens: {class: ((largest size or `None`, fraction of zero blocks), ...)}; the first that fits holds.
    """

    kernels: str
    machine: str
    date: str
    litert: str
    command: str
    convolutions: dict[tuple[int, int, int, int], Points]
    connected: dict[tuple[int, int], Points]
    break_evens: dict[str, tuple[tuple[int | None, float], ...]]

    @classmethod
    def of(cls, read: dict[str, Any]) -> Gains:
        """From what a data file holds."""

        def points(each: dict[str, Any]) -> Points:
            return tuple(zip(read["sparsities"], each["gains"], strict=True))

        return cls(
            read["kernels"],
            read["machine"],
            read["date"],
            read["litert"],
            read["command"],
            {(e["pixels"], e["inputs"], e["outputs"], e["taps"]): points(e) for e in read["convolutions"]},
            {(e["inputs"], e["outputs"]): points(e) for e in read["connected"] if e["block"] == "16x4"},
            {kind: tuple((most, zeros) for most, zeros in rows) for kind, rows in read["break_evens"].items()},
        )

    def break_even(self, kind: str, size: int) -> float | None:
        """From which fraction of zero blocks on a layer of a class and size is taken; `None` for never."""
        rows = self.break_evens.get(kind, ())
        return next((zeros for most, zeros in rows if most is None or size <= most), None)


@functools.cache
def measured() -> dict[str, Gains]:
    """{kernels: `Gains`} of every processor that was measured.

    >>> sorted(measured())
    ['avx2', 'avx512-vnni']
    """
    folder = resources.files("keras_sparse.targets") / "measured"
    found = [Gains.of(json.loads(each.read_text())) for each in folder.iterdir() if each.name.endswith(".json")]
    return {each.kernels: each for each in sorted(found, key=lambda gains: gains.kernels, reverse=True)}
