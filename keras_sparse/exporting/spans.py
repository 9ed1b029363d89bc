"""Where a constant lies in the bytes of a file, the same for every format."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """A constant of a file: its first byte, its bytes, and what they are in the axis order of the runtime.

    `dtype` is "other" where it is none that has a name here. The bytes can be fewer than `shape` asks for, where the
    file stores a tensor sparse.
    """

    start: int
    bytes: int
    dtype: str
    shape: tuple[int, ...]
    name: str
