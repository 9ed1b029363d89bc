"""What an export gives: the file, and what is known about it."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

from keras_sparse.report import tables


@dataclass(frozen=True)
class TensorReport:
    """One kernel in the file.

    `stored_as` is its name there, `bytes` are those of its values and tables, `bytes_dense` those of all values in
    order, and `why` is the reason for its encoding.
    """

    name: str
    stored_as: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str
    bytes: int
    bytes_dense: int
    zeros: int
    sparsity: float
    why: str


@dataclass(frozen=True)
class Verification:
    """How far the file's outputs, in its runtime, are from those of the Keras model, on the same samples.

    `rms` and `largest` are differences of outputs, each with the tolerance that it was held to; `agreement` is the
    fraction of samples with the same highest output, `None` where outputs are no scores. A `problem` says what is wrong
    in a runtime that the file was not made for. `spread` is how much outputs vary over the samples (mean standard
    deviation, of the output that varies least): where the tolerance is no smaller, outputs show nothing.
    """

    runtime: str
    samples: int
    source: str
    rms: float
    rms_tolerance: float
    largest: float
    largest_tolerance: float
    agreement: float | None
    problem: str | None = None
    spread: float = math.inf

    @property
    def shows(self):
        """Whether outputs that are wrong would have been seen."""
        return self.rms_tolerance < self.spread or self.spread == 0.0 == self.rms_tolerance


@dataclass(frozen=True)
class ExportReport:
    """Scheme, sizes in bytes, every kernel, what stayed float and why, and the verifications.

    `not_found` are float kernels that the converter stores in another form, so that their zeros were not counted;
    `opset` is the version of ONNX's operations that a `.onnx` file uses.
    """

    scheme: str
    bytes: int
    bytes_gzip: int
    tensors: tuple[TensorReport, ...]
    not_found: tuple[str, ...]
    float_operations: tuple[str, ...]
    float_layers: dict[str, str]
    verification: tuple[Verification, ...]
    versions: dict[str, str]
    opset: int | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self):
        return dataclasses.asdict(self)

    def __str__(self):
        rows = [
            (
                t.name,
                t.dtype,
                "x".join(map(str, t.shape)),
                t.zeros,
                tables.percent(t.sparsity),
                t.encoding,
                tables.size(t.bytes_dense),
                tables.size(t.bytes),
            )
            for t in self.tensors
        ]
        columns = ["kernel", "type", "shape>", "zeros>", "sparsity>", "stored as", "dense size>", "size>"]
        lines = [tables.render(tables.build(None, columns, rows))]
        opset = "" if self.opset is None else f", opset {self.opset}"
        lines.append(f"{self.scheme}: {tables.size(self.bytes)}, gzipped {tables.size(self.bytes_gzip)}{opset}")
        lines += [
            f"NOT RIGHT in {v.runtime}, for which the file was not made: {v.problem}"
            if v.problem
            else f"{v.runtime}: rms difference {v.rms:.3g} (tolerance {v.rms_tolerance:.3g}), largest {v.largest:.3g} "
            f"({v.largest_tolerance:.3g}) on {v.samples} {v.source}"
            + ("" if v.agreement is None else f"; same class on {tables.percent(v.agreement)}")
            for v in self.verification
        ]
        blind = [v for v in self.verification if not v.shows]
        if blind:
            lines.append(
                f"ATTENTION: outputs vary by {blind[0].spread:.3g} over these {blind[0].source}, and roundings of the "
                f"scheme may move them by {blind[0].rms_tolerance:.3g}: that they agree shows little. Give samples "
                "that the model tells apart; scores of many classes that hardly differ do not survive int8."
            )
        lines += [f"{', '.join(names)}: {why}" for why, names in self._reasons().items()]
        lines += dict.fromkeys(self.notes)
        if self.not_found:
            lines.append("kernels in the file in another form, zeros not counted: " + ", ".join(self.not_found))
        lines += [f"float: {', '.join(names)}: {reason}" for reason, names in _grouped(self.float_layers).items()]
        if self.scheme == "int8" and self.float_operations:
            lines.append("operations that compute in float: " + ", ".join(self.float_operations))
        return "\n".join([lines[0], *map(tables.wrap, lines[1:])])

    def _reasons(self):
        """{why: kernels}, for those that have zeros."""
        found = {}
        for tensor in self.tensors:
            if tensor.zeros:
                found.setdefault(tensor.why, []).append(tensor.name)
        return found


def _grouped(reasons):
    """{reason: layers}, for many layers that stay float for the same one."""
    found = {}
    for name, reason in reasons.items():
        found.setdefault(reason, []).append(name)
    return found


@dataclass(frozen=True)
class Artifact:
    """A verified file: its `path`, the `target` it was made for, and the `report`.

    `ks.export` makes it. `print(artifact)` shows what is in the file; `artifact.report.to_dict()` is for machines.

    >>> report = ExportReport("float32", 812, 560, (), (), (), {}, (), {})
    >>> print(str(Artifact(Path("model.onnx"), "onnxruntime", report)).splitlines()[0])
    model.onnx for onnxruntime
    """

    path: Path
    target: str
    report: ExportReport

    def __str__(self):
        return f"{self.path} for {self.target}\n{self.report}"
