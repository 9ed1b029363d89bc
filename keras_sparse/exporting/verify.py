"""`verify`: any file against any reference, by the outputs of its runtime."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_sparse import target
from keras_sparse.exporting import check
from keras_sparse.exporting.export import SAMPLES, predict
from keras_sparse.report import tables
from keras_sparse.runtime import isolated, open_session
from keras_sparse.runtime.port import Port, check_inputs
from keras_sparse.train.strip import fixed_ranges, jittered, stripped

RANDOM_ITEMS = 32
FLOAT, INT8 = "float32", "int8"


@dataclass(frozen=True)
class Comparison:
    """Differences of outputs, the file's in one runtime from the reference's.

    The tolerances are `None` where none follows from the schemes; `agreement` is the fraction of samples with the same
    highest output, `None` where outputs are no scores.
    """

    runtime: str
    rms: float
    rms_tolerance: float | None
    largest: float
    largest_tolerance: float | None
    agreement: float | None

    @property
    def passed(self):
        if self.rms_tolerance is None or self.largest_tolerance is None:
            return None
        return self.rms <= self.rms_tolerance and self.largest <= self.largest_tolerance


@dataclass(frozen=True)
class VerifyReport:
    """A file held against a reference; `passed` is `None` where no tolerance follows, and `reason` says why.

    `kernels` says what is wrong with the kernels, `None` where all are in the file value for value, or that cannot be
    asked.
    """

    file: str
    scheme: str
    reference: str
    reference_scheme: str
    samples: int
    source: str
    reason: str
    kernels: str | None
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self):
        if self.kernels is not None or any(each.passed is False for each in self.comparisons):
            return False
        return None if any(each.passed is None for each in self.comparisons) else True

    def to_dict(self):
        return {**dataclasses.asdict(self), "passed": self.passed}

    def __str__(self):
        rows = [
            (
                each.runtime,
                f"{each.rms:.3g}",
                _allowed(each.rms_tolerance),
                f"{each.largest:.3g}",
                _allowed(each.largest_tolerance),
                "-" if each.agreement is None else tables.percent(each.agreement),
            )
            for each in self.comparisons
        ]
        columns = ["runtime", "rms difference>", "allowed>", "largest>", "allowed>", "same class>"]
        verdict = {True: "verified", False: "NOT what the reference is", None: "not judged"}[self.passed]
        lines = [
            f"{self.file} ({self.scheme}) against {self.reference} ({self.reference_scheme}), "
            f"{self.samples} {self.source}",
            tables.render(tables.build(None, columns, rows)),
            f"{verdict}: {self.kernels or self.reason}",
        ]
        return "\n".join(lines)


def verify(path, reference, samples=None):
    """Runs a file in its runtime and compares its outputs with those of a reference.

    A `.tflite` file runs with LiteRT's default delegates and without. The tolerance follows from the schemes: for two
    float32 sides, float32's rounding; for an int8 file of a quantized Keras model, what rounding each activation to a
    neighbouring level may do, and its kernels must be in the file value for value. Any other pair differs by what
    quantization changed, of which nothing says how much is right: its differences are reported and not judged.

    Args:
        path: a `.tflite` or `.onnx` file with float inputs and outputs.
        reference: a Keras model, plain or prepared, or the path of another `.tflite` or `.onnx` file.
        samples: inputs, items along the first axis: an array, a list in the reference's order, or a dictionary by
            name; the first 256 are used. Without samples, random inputs are.

    Returns:
        A `VerifyReport`: `.passed` (True, False or None), `.comparisons`, printable, `.to_dict()`.

    Raises:
        ValueError: the samples do not fit, or the inputs or outputs of the two differ in number or shape.
        RuntimeFailure: the runtime does not load or run a file.
    """
    path = Path(path)
    target.find(path)
    stored = _stored(path)
    is_model = isinstance(reference, keras.Model)
    other = _ModelReference(reference) if is_model else _FileReference(Path(reference))
    inputs = _inputs(other, samples)
    ports = _ports(path)
    if {port.name for port in ports} != set(inputs):
        # Files that others made name their inputs as they like: then the order says which is which.
        inputs = dict(zip((port.name for port in ports), _as_many(ports, inputs), strict=True))
    expected, moved = other.outputs()
    scheme = _scheme(stored)
    allowed, reason = _tolerance(scheme, other, expected, moved)
    kernels = other.missing_kernel(stored, path) if scheme == other.scheme == INT8 and is_model else None
    return VerifyReport(
        str(path),
        scheme,
        other.name,
        other.scheme,
        len(next(iter(inputs.values()))),
        "random inputs" if samples is None else "samples",
        reason,
        kernels,
        tuple(
            _compare(isolated.run(path, inputs, delegates=delegates), expected, runtime, allowed)
            for runtime, delegates in _ways(path)
        ),
    )
