"""An export is done when its file has been run in its runtime, and says what the Keras model says."""

import math
from dataclasses import dataclass

import numpy as np

from keras_sparse.exporting.artifact import Verification
from keras_sparse.runtime import isolated

FLOAT_TOLERANCE = 1e-4
"""Of the largest output: float32 sums in another order, some hundred roundings of 6e-8 in a row."""

FOLDED = 1e-4
"""Of a channel's largest weight: rounding of float32 when a batch norm is folded into a kernel."""

HALF = 2.0**-10
"""Of a channel's largest weight: what rounding to float16 may change, twice."""

HALF_LEAST = 2.0**-24
"""The least number of float16: a channel of smaller weights may be all zeros there."""

SPREAD = 2.0
"""How many times the differences of one random draw a file may reach: real roundings can all go the same way."""


class ExportError(RuntimeError):
    """A model has no form in a file, or the file that was made is not what the model is. No file was kept.

    >>> import keras
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x / 0.0, name="by_0")])
    >>> try:
    ...     ks.export(model, "model.tflite")
    ... except ks.ExportError as error:
    ...     print(error)  # doctest: +ELLIPSIS
    The model's own outputs on random inputs are not finite: ... The first layer that shows it is 'by_0'.
    """


@dataclass(frozen=True)
class Difference:
    """Between two sets of outputs, all outputs together."""

    rms: float
    largest: float

    @classmethod
    def of(cls, outputs, references):
        gaps = [np.ravel(a.astype(np.float64) - b) for a, b in zip(outputs, references, strict=True)]
        gap = np.concatenate(gaps)
        return cls(float(np.sqrt(np.mean(gap**2))), float(np.abs(gap).max()))


def tolerances(references, jittered):
    """How far each output of a right file may be from the model's.

    Of a quantized one, as far as the model is from itself when every rounded value is off by a rounding at random:
    kernels round to a neighbouring level at most. Of a float one, by float32's rounding.

    Args:
        references: outputs of the model.
        jittered: outputs of the model with its roundings moved, or `None` for a float32 model.
    """
    found = []
    for place, reference in enumerate(references):
        float32 = FLOAT_TOLERANCE * float(np.abs(reference).max(initial=0.0))
        moved = Difference(0.0, 0.0) if jittered is None else Difference.of([jittered[place]], [reference])
        found.append(Difference(max(float32, SPREAD * moved.rms), max(float32, SPREAD * moved.largest)))
    return found


def worst(made, references, allowed):
    """`(Difference, what is allowed)` of the output that is furthest away, as part of what it may be."""
    pairs = [(Difference.of([a], [b]), limit) for a, b, limit in zip(made, references, allowed, strict=True)]
    tiny = np.finfo(float).tiny
    return max(pairs, key=lambda p: max(p[0].rms / max(p[1].rms, tiny), p[0].largest / max(p[1].largest, tiny)))


def weights(stored, tensors, order, silenced=False, required=True):
    """{name: stored tensor} for every kernel of the model that the file holds; int8 ones must be there, all of them.

    Folding a batch norm multiplies each output channel: integers stay as they are, or are all negated; float channels
    are the model's up to one factor. Zeros stay zeros.

    Args:
        stored: `StoredModel` of the file.
        tensors: `SparseTensor`s of the model.
        order: the name of the layout's axis order, "tflite" or "onnx".
        silenced: whether a batch norm of the model multiplies a channel by 0, which then is all zeros in the file.
        required: whether an int8 kernel that is not there is an error.

    Raises:
        ExportError: an int8 kernel is not in the file; it is named.
    """
    found, taken = {}, set()
    ways = (False, True) if silenced else (False,)  # a channel of zeros fits any other, so it is the last resort
    for tensor in tensors:
        axes = getattr(tensor.layout, order)
        if axes is None:
            continue
        wanted, axis = tensor.layout.to(axes, tensor.values), tensor.layout.channel_axis_in(axes)
        free = [each for each in stored.tensors if id(each) not in taken]
        tried = ((each, way) for way in ways for pool in (free, stored.tensors) for each in pool)
        match = next(
            (each for each, way in tried if _holds(each, wanted, axis, way)), None
        )  # equal ones are stored once
        if match is None and required and tensor.scale is not None:
            raise ExportError(
                f"{tensor.name}: its {wanted.dtype} values {wanted.shape}, {tensor.zeros} of them 0, "
                "are not in the file."
            )
        if match is not None:
            taken.add(id(match))
            found[tensor.name] = match
    return found


def _holds(stored, wanted, axis, silenced):
    half = stored.values.dtype == np.float16 and wanted.dtype == np.float32
    if stored.values.shape != wanted.shape or (stored.values.dtype != wanted.dtype and not half):
        return False
    channels = wanted.shape[axis]
    made, model = (np.moveaxis(v, axis, 0).reshape(channels, -1) for v in (stored.values, wanted))
    if wanted.dtype != np.int8:
        made, rounding = made.astype(np.float32), HALF if half else FOLDED
        factor = (made * model).sum(1) / np.maximum((model * model).sum(1), np.finfo(np.float32).tiny)
        near = np.abs(made - factor[:, None] * model) <= rounding * np.abs(made).max(1, keepdims=True, initial=0.0)
        least = HALF_LEAST if half else 0.0
        lost = (made == 0).all(1) & (np.abs(model).max(1, initial=0.0) > least)
        return bool(near.all() and (made[model == 0] == 0).all() and (silenced or not lost.any()))
    if stored.zero_point is None or np.any(stored.zero_point):
        return False
    same = (made == model).all(1) | (made == -model).all(1)
    return bool(np.all(same | (made == 0).all(1) if silenced else same))


def outputs(ran, way, references, jittered, source):
    """Holds a file's outputs in one `Way` against the model's.

    Args:
        ran: () -> the outputs, or what went wrong is raised.
        references: the model's outputs, in the order in which the file names its own.
        jittered: see `tolerances`.

    Returns:
        A `Verification`. Where a file need not be right, it may hold a `problem`.

    Raises:
        ExportError: outputs are further away than the tolerance, of another shape, or not finite.
        RuntimeFailure: the runtime did not load or run the file.
    """
    if not all(np.isfinite(each).all() for each in references):
        raise ExportError(f"The model's own outputs on {source} are not finite: no file can be held against them.")
    limits = tolerances(references, jittered)
    references, allowed = way.first(references), limits[0]
    try:
        made = ran()
        (gap, allowed), problem = _gap(made, references, limits, way), None
    except (ExportError, isolated.RuntimeFailure) as error:
        if way.required:
            raise
        made, gap, problem = None, Difference(math.nan, math.nan), str(error)
    return Verification(
        runtime=way.runtime,
        samples=len(references[0]),
        source=source,
        rms=gap.rms,
        rms_tolerance=allowed.rms,
        largest=gap.largest,
        largest_tolerance=allowed.largest,
        agreement=None if made is None else _agreement(made, references),
        problem=problem,
        spread=min(float(np.std(each, axis=0).mean()) for each in references),
    )


def _gap(made, references, limits, way):
    shapes = [each.shape for each in made], [each.shape for each in references]
    if shapes[0] != shapes[1]:
        raise ExportError(f"In {way.runtime}, the file's outputs have the shapes {shapes[0]}, the model's {shapes[1]}.")
    if not all(np.isfinite(each).all() for each in made):
        raise ExportError(f"In {way.runtime}, the file's outputs are not finite.")
    gap, allowed = worst(made, references, limits)
    if not (gap.rms <= allowed.rms and gap.largest <= allowed.largest):
        cause = f" The cause: {way.cause}." if way.cause else ""
        raise ExportError(
            f"In {way.runtime}, the file's outputs differ from the model's by {gap.rms:.3g} rms and {gap.largest:.3g} "
            f"at most; {allowed.rms:.3g} and {allowed.largest:.3g} are allowed.{cause}"
        )
    return gap, allowed


def _agreement(made, references):
    if len(made) != 1 or made[0].ndim != 2 or made[0].shape[1] < 2:
        return None
    return float(np.mean(made[0].argmax(1) == references[0].argmax(1)))
