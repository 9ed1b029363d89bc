"""What packing did to a file."""

import math
from dataclasses import asdict, dataclass

from keras_sparse.report import tables


@dataclass(frozen=True)
class PackedTensor:
    """A constant of the file.

    `coding` says how it is stored. `bits_per_weight` is what that takes; `bound`, in bits per weight, what the
    positions of its non-zeros and the empirical entropy of its values take, for floating point the entropies of their
    bytes. Bits are those of the constant by itself; `None` where it is no weight tensor, or the file is compressed as a
    whole.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    coding: str
    bits_per_weight: float | None
    bound: float | None


@dataclass(frozen=True)
class PackReport:
    """A packed file; `str()` is a table of its large tensors."""

    path: str
    bytes: int
    bytes_packed: int
    tensors: tuple[PackedTensor, ...]

    def to_dict(self):
        return asdict(self)

    def __str__(self):
        rows = [
            (
                each.name,
                each.dtype,
                "x".join(map(str, each.shape)),
                each.coding,
                "-" if each.bits_per_weight is None else f"{each.bits_per_weight:.3f}",
                "-" if each.bound is None else f"{each.bound:.3f}",
            )
            for each in self.tensors
        ]
        columns = ["constant", "type", "shape>", "coded as", "bits>", "bound>"]
        part = tables.percent(self.bytes_packed / self.bytes, 1)
        total = f"{tables.size(self.bytes)} packed into {tables.size(self.bytes_packed)} ({part}): {self.path}"
        note = (
            "bits: of one weight, as packed; bound: what the places of non-zeros and the entropy of their values take "
            "at least, if values are coded one by one (what repeats can be below it)"
        )
        return "\n".join([tables.render(tables.build(None, columns, rows)), tables.wrap(note), tables.wrap(total)])


def describe(choice):
    """The `PackedTensor` of a choice."""
    span, coded = choice.span, choice.coded
    said = "LZMA" if coded is None else _say(coded.record)
    items = max(1, math.prod(span.shape))
    bits, bound = (None if each is None else each / items for each in (choice.bits, choice.bound))
    return PackedTensor(span.name, span.dtype, span.shape, span.bytes, said, bits, bound)


def _say(record):
    if record.copy is not None:
        return "copy of an equal tensor"
    raw = sum(plane.spacing == 0 for plane in record.planes)
    if raw == record.kind.width:
        return "as it is"
    values = "values" if record.kind.width == 1 else f"{record.kind.width} byte planes ({raw} raw)"
    place = record.positions
    if place is None:
        return values
    if place.rows * place.columns > 1:
        return f"{place.rows}x{place.columns} block index + {values}"
    index = "non-zero flags" if place.most == place.unit else f"{place.most}:{place.unit} index"
    return f"{index} + {values}"
