"""`verify`: any file against any reference, by the outputs of its runtime."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_sparse import target
from keras_sparse.exporting import check, reference
from keras_sparse.exporting.export import SAMPLES
from keras_sparse.exporting.samples import fitting
from keras_sparse.report import tables
from keras_sparse.runtime.port import check_inputs
from keras_sparse.runtime.ways import ways
from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS

RANDOM_ITEMS = 32
"""Random inputs where no samples are given."""


@dataclass(frozen=True)
class Comparison:
    """Differences of the file's outputs in one runtime from the reference's.

    A runtime that is not `required` is not the file's own, and does not decide. The tolerances are `None` where none
    follows from the schemes; `agreement` is the fraction of samples with the same highest output, `None` where outputs
    are no scores; `cause` says what explains a difference that this runtime alone has, and what helps.
    """

    runtime: str
    rms: float
    rms_tolerance: float | None
    largest: float
    largest_tolerance: float | None
    agreement: float | None
    required: bool = True
    cause: str = ""

    @property
    def passed(self):
        if self.rms_tolerance is None or self.largest_tolerance is None:
            return None
        return self.rms <= self.rms_tolerance and self.largest <= self.largest_tolerance


@dataclass(frozen=True)
class VerifyReport:
    """A file held against a reference.

    `basis` says where the tolerance comes from, or why there is none; `kernels` what is wrong with the file's kernels,
    `None` if nothing is or it cannot be known.
    """

    file: str
    scheme: str
    reference: str
    reference_scheme: str
    samples: int
    source: str
    basis: str
    kernels: str | None
    comparisons: tuple[Comparison, ...]

    @property
    def passed(self):
        """`None` where no tolerance follows from the schemes."""
        judged = [each for each in self.comparisons if each.required]
        if self.kernels is not None or any(each.passed is False for each in judged):
            return False
        return None if any(each.passed is None for each in judged) else True

    def to_dict(self):
        return {**dataclasses.asdict(self), "passed": self.passed}

    def _causes(self):
        """What explains differences, of the runtimes that have more than is allowed, or that nothing allows any."""
        return [f"In {each.runtime}, {each.cause}." for each in self.comparisons if each.cause and not each.passed]

    def __str__(self):
        rows = [
            (
                each.runtime if each.required else f"{each.runtime} (not judged)",
                f"{each.rms:.3g}",
                "-" if each.rms_tolerance is None else f"{each.rms_tolerance:.3g}",
                f"{each.largest:.3g}",
                "-" if each.largest_tolerance is None else f"{each.largest_tolerance:.3g}",
                "-" if each.agreement is None else tables.percent(each.agreement),
            )
            for each in self.comparisons
        ]
        columns = ["runtime", "rms difference>", "allowed>", "largest>", "allowed>", "same class>"]
        verdict = {
            True: f"verified: {self.basis}",
            False: f"NOT VERIFIED: {self.kernels or f'the outputs differ by more, although {self.basis}'}",
            None: f"not judged: {self.basis}",
        }[self.passed]
        return "\n".join(
            [
                f"{self.file} ({self.scheme}) against {self.reference} ({self.reference_scheme}) "
                f"on {self.samples} {self.source}",
                tables.render(tables.build(None, columns, rows)),
                *map(tables.wrap, [verdict, *self._causes()]),
            ]
        )


def verify(path, against, samples=None, to=None, without_vnni=True):
    """Runs a file in its runtime, and holds its outputs against those of a reference.

    A `.tflite` file runs with LiteRT's default delegates, without, and on emulated AArch64 where that is there. The
    tolerance follows from the schemes: between two float32 sides it is float32's rounding; for an int8 file of a
    quantized Keras model it is what rounding each activation to a neighbouring level may do, and each kernel must be in
    the file value for value; float16 and int8-weights files of a float model are held to what their roundings may do to
    that. Other pairs differ by what quantization changed, and nothing says how much of that is right: it is reported,
    and not judged.

    Args:
        path: a `.tflite` or `.onnx` file whose inputs are floats.
        against: the reference: a Keras model, plain or prepared, or the path of another `.tflite` or `.onnx` file.
        samples: inputs, items along the first axis: an array, a list in the order of the reference's inputs, or a
            dictionary by name. The first 256 are used; without samples, 32 random ones.
        to: the name of the target that the file is for; by default its suffix says.
        without_vnni: whether an `.onnx` file must be right on x86-64 processors without VNNI; otherwise what it
            computes there is reported, and not judged.

    Returns:
        A `VerifyReport`: `.passed` (True, False, or None for not judged), `.comparisons`, printable, `.to_dict()`.

    Raises:
        ValueError: the samples do not fit, or inputs or outputs of the two differ in number or shape.
        ExportError: the file's outputs are not finite.
        RuntimeFailure: a runtime does not load or run a file.
    """
    path = Path(path)
    chosen = target.find(path, to)
    scheme, ports = reference.scheme(path), reference.ports(path)
    other = reference.find(against, scheme, reference.reduce_range(path))
    arrays = reference.random_items(other, RANDOM_ITEMS) if samples is None else fitting(other.ports, samples, SAMPLES)
    if len(ports) != len(other.ports):
        raise ValueError(f"{path} has {len(ports)} inputs, and {other.name} has {len(other.ports)}.")
    names = [port.name for port in other.ports]
    # By name where the names are the same; files that others made name their inputs as they like.
    given = dict(zip(names, arrays, strict=True)) if {port.name for port in ports} == set(names) else arrays
    try:
        check_inputs(ports, given)
    except ValueError as error:
        raise ValueError(f"{path} does not take the inputs of {other.name}. {error}") from error
    expected = other.outputs(arrays)
    allowed, basis = _tolerance(scheme, other, arrays, expected)
    exact = scheme == other.scheme == INT8 and isinstance(other, reference.ModelReference)
    return VerifyReport(
        str(path),
        scheme,
        other.name,
        other.scheme,
        len(arrays[0]),
        "random inputs" if samples is None else "samples",
        basis,
        other.missing_kernel(path) if exact else None,
        tuple(_compare(way, path, given, expected, allowed) for way in ways(chosen, _saturating(path), without_vnni)),
    )


def _saturating(path):
    """Weights of an `.onnx` file whose sums some processors may cut off."""
    if path.suffix != ".onnx":
        return ()
    from keras_sparse.exporting.onnx_kernels import optimized, saturating

    return saturating(optimized(path))


BASES = {
    FLOAT32: "both compute in float32, and only its rounding may differ",
    FLOAT16: "the reference is the model with its weights in float16, and every value may be rounded so",
    INT8: "both compute in int8 with the same kernels, and each activation may be rounded to a neighbouring level",
    INT8_WEIGHTS: "the reference is the model with its kernels in int8, whose inputs may be rounded over their ranges",
}
"""scheme -> where its tolerance comes from."""


def _tolerance(scheme, other, arrays, expected):
    """`(Difference or None, why)`."""
    if scheme == other.scheme and (scheme == FLOAT32 or isinstance(other, reference.ModelReference)):
        return other.tolerance(arrays, expected), BASES[scheme]
    basis = "how far these two may differ does not follow from their schemes"
    if scheme == INT8:
        basis += "; a quantized Keras model as the reference would give a tolerance"
    return None, basis


def _compare(way, path, given, expected, allowed):
    made, expected, runtime = way.run(path, way.first(given)), way.first(expected), way.runtime
    shapes = [each.shape for each in made], [each.shape for each in expected]
    if shapes[0] != shapes[1]:
        raise ValueError(f"In {runtime}, the file's outputs have the shapes {shapes[0]}, the reference's {shapes[1]}.")
    if not all(np.isfinite(each).all() for each in made):
        raise check.ExportError(f"In {runtime}, the file's outputs are not finite.")
    gap, limit = check.Difference.of(made, expected), None
    if allowed is not None:
        gap, limit = check.worst(made, expected, allowed)
    scores = len(made) == 1 and made[0].ndim == 2 and made[0].shape[1] > 1
    return Comparison(
        runtime,
        gap.rms,
        limit and limit.rms,
        gap.largest,
        limit and limit.largest,
        float(np.mean(made[0].argmax(1) == expected[0].argmax(1))) if scores else None,
        way.required,
        way.cause,
    )
