"""`sparsity`: what is zero in a model or a file, and which patterns the zeros keep."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from keras_sparse.exporting import keras_file
from keras_sparse.pattern import Block, NofM
from keras_sparse.recipe import Recipe, matches
from keras_sparse.report import tables
from keras_sparse.train import kernels
from keras_sparse.train.wrapper import QuantizedWeights

FINDABLE = (NofM(1, 4), NofM(2, 4), NofM(4, 8))
CHANCE = 0.01
"""A pattern is named where zeros at random places would keep it less often than this."""

BLOCKS = ((4, 4), (1, 16), (4, 1), (1, 4))
"""Patterns looked for where no recipe says what was wanted; blocks from large to small."""


@dataclass(frozen=True)
class KernelReport:
    """One kernel: `shape` in Keras's order, zeros, and the patterns that its zeros keep.

    `broken` says where the recipe's pattern does not hold; `None` where it does, or where no recipe was given.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    size: int
    zeros: int
    sparsity: float
    patterns: tuple[str, ...]
    broken: str | None = None


@dataclass(frozen=True)
class SparsityReport:
    """Every kernel of a model or a file; `str()` is a table."""

    kernels: tuple[KernelReport, ...]

    @property
    def total(self) -> float:
        """The fraction of zeros of all kernels together."""
        return sum(each.zeros for each in self.kernels) / max(1, sum(each.size for each in self.kernels))

    def to_dict(self):
        return {"sparsity": self.total, "kernels": [asdict(each) for each in self.kernels]}

    def __str__(self):
        rows = [
            (
                each.name,
                each.dtype,
                "x".join(map(str, each.shape)),
                each.zeros,
                tables.percent(each.sparsity),
                each.broken or ", ".join(each.patterns) or "-",
            )
            for each in self.kernels
        ]
        table = tables.build(None, ["kernel", "type", "shape>", "zeros>", "sparsity>", "pattern"], rows)
        return f"{tables.render(table)}\nall kernels: {tables.percent(self.total)} zeros"


def sparsity(model, recipe=None):
    """The zeros of every kernel, and the patterns that they keep.

    Args:
        model: a built Keras model of any kind, or the path of a `.keras`, `.tflite` or `.onnx` file.
        recipe: a `Recipe`: each kernel is then held against the pattern that its rule asks for, and the report says
            where it is broken. Without one, the report names the patterns that it finds. For Keras models.

    Returns:
        A `SparsityReport`: `.kernels`, `.total`, printable, `.to_dict()`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no such file, which the message names; or the model has no kernels.

    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(20)])
    >>> _ = model.layers[0].kernel.assign(np.tile([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [3.0, 0.0]], 10))
    >>> report = ks.sparsity(model)
    >>> report.total, report.kernels[0].patterns
    (0.5, ('2:4',))
    """
    if recipe is not None and not isinstance(recipe, Recipe):
        raise TypeError(f"recipe must be a Recipe. Received: {recipe!r}")
    if isinstance(model, str | Path):
        path = Path(model)
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}")
        if path.suffix != ".keras":
            return SparsityReport(tuple(_stored(each) for each in _constants(path)))
        model = keras_file.read(path)
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a Keras model or the path of a file. Received: {type(model).__name__}")
    int8 = {
        id(layer.layer) for layer in kernels.walk(model) if isinstance(layer, QuantizedWeights) and float(layer.active)
    }
    found = kernels.find(model)
    if not found:
        raise ValueError(f"Model {model.name!r} has no kernels; if it is not built yet, call it once.")
    return SparsityReport(tuple(_kernel(each, recipe, id(each.layer) in int8) for each in found))


def _kernel(kernel, recipe, int8):
    matrices = kernel.matrices()
    rule = next((r for r in recipe.prune if matches(r.match, kernel.path)), None) if recipe else None
    dtype = "int8 (in training)" if int8 else kernel.variable.dtype
    broken = rule.pattern.violation(matrices) if rule and rule.scope == "layer" else None
    patterns = (_say(rule.pattern),) if rule else _patterns(matrices)
    return _report(kernel.path, tuple(kernel.variable.shape), dtype, matrices, patterns, broken)


def _report(name, shape, dtype, values, patterns, broken=None):
    zeros = int(values.size - np.count_nonzero(values))
    return KernelReport(name, shape, dtype, values.size, zeros, zeros / max(1, values.size), patterns, broken)


def _patterns(matrices):
    """What the zeros keep, the strictest of each kind; nothing where there are too few zeros to say."""
    zeros = matrices == 0
    if not zeros.any() or zeros.all():
        return ()
    kept = [
        _say(pattern)
        for pattern in FINDABLE
        # Many zeros keep an N:M pattern by chance; it was meant where the number of zeros fits too.
        if abs(zeros.mean() - (1 - pattern.n / pattern.m)) < 0.02
        and pattern.violation(matrices) is None
        and _by_chance(pattern, matrices) < CHANCE
    ][:1]
    for shape in BLOCKS:
        whole = shape[0] <= matrices.shape[1] and shape[1] <= matrices.shape[2]
        block = Block(shape, 0.0)
        # Each block is all zero or has no zero.
        if whole and np.isin(block.units(zeros), (0.0, 1.0)).all():
            kept.append(f"blocks {shape[0]}x{shape[1]}")
            break
    return tuple(kept)


def _by_chance(pattern, matrices):
    """The probability that as many zeros at random places keep the pattern in every whole group."""
    groups = matrices.shape[0] * matrices.shape[1] * (matrices.shape[2] // pattern.m)
    kept = pattern.n / pattern.m
    group = sum(math.comb(pattern.m, k) * kept**k * (1 - kept) ** (pattern.m - k) for k in range(pattern.n + 1))
    return group**groups


def _say(pattern):
    return f"{pattern.n}:{pattern.m}" if isinstance(pattern, NofM) else str(pattern)


def _constants(path):
    """The weights of a file: what has at least two axes, in floating point or int8."""
    if path.suffix == ".tflite":
        from keras_sparse.exporting.tflite_file import read
    elif path.suffix == ".onnx":
        from keras_sparse.exporting.onnx_file import read
    else:
        raise ValueError(f"A .keras, .tflite or .onnx file was expected. Received: {path}")
    stored = (t for t in read(path).tensors if t.values.ndim >= 2 and t.values.size)
    return [t for t in stored if t.values.dtype in ("float32", "float16", "int8")]


def _stored(tensor):
    values, matrices = tensor.values, tensor.matrices()
    return _report(tensor.name, values.shape, values.dtype.name, matrices, _patterns(matrices))
