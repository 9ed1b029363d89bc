"""What the demo found: figures of each file, and the bars that they are held against."""

from dataclasses import dataclass

from keras_sparse.report import tables

LOSS = 1.0
"""Points of accuracy that the sparse int8 files may lose against the dense float model."""

DEVIATION = 0.1
"""Points of accuracy between a file and the Keras model that it came from."""


@dataclass(frozen=True)
class FileResult:
    """One file: accuracy on the whole test set in its runtime, and that of the Keras model it came from; bytes;
    median seconds per image, and how many times faster than the first file."""

    name: str
    file: str
    runtime: str
    correct: int
    keras_correct: int
    images: int
    bytes: int
    bytes_gzip: int
    latency: float
    speedup: float

    @property
    def accuracy(self):
        return self.correct / self.images

    @property
    def keras_accuracy(self):
        return self.keras_correct / self.images


@dataclass(frozen=True)
class NativeResult:
    """A file with the native INT8 kernels: median seconds per image, how many times faster than the dense int8 file in
    the same rounds, and on how many test images its outputs were those of LiteRT alone, bit for bit."""

    file: str
    baseline: str
    latency: float
    speedup: float
    equal: int
    images: int


@dataclass(frozen=True)
class KernelResult:
    """One kernel: whether the recipe prunes it, and its zeros as counted in each sparse file."""

    name: str
    size: int
    pruned: bool
    zeros: dict[str, int]


@dataclass(frozen=True)
class Bar:
    """One thing that the demo has to reach: what, what was measured, and whether it holds."""

    text: str
    measured: str
    holds: bool


def bars(files, kernels, dense_correct, sparsity, native=None):
    """The bars, each against what was measured.

    Args:
        files: `FileResult`s; those whose name begins with "sparse" are held against the baseline.
        kernels: `KernelResult`s.
        dense_correct: test images that the dense float Keras model has right.
        sparsity: the fraction of zeros that every pruned kernel has to have.
        native: a `NativeResult`, where there are native kernels.
    """
    found = []
    for each in files:
        if each.name.startswith("sparse"):
            lost = 100 * (dense_correct - each.correct) / each.images
            text = f"{each.file} within {LOSS:.1f} point of the dense float model"
            said = f"{abs(lost):.2f} points {'below' if lost >= 0 else 'above'}"
            found.append(Bar(text, said, _within(lost, LOSS)))
    for each in files:
        gap = 100 * (each.correct - each.keras_correct) / each.images
        text = f"{each.file} within {DEVIATION} point of its Keras model"
        found.append(Bar(text, f"{gap:+.2f} points", _within(abs(gap), DEVIATION)))
    pruned = [each for each in kernels if each.pruned]
    for file in pruned[0].zeros if pruned else ():
        right = [each for each in pruned if each.zeros[file] == round(sparsity * each.size)]
        text = f"{file}: every pruned layer exactly {tables.percent(sparsity, 0)} zeros"
        wrong = ", ".join(f"{each.name} has {each.zeros[file]} of {each.size}" for each in pruned if each not in right)
        said = f"{len(right)} of {len(pruned)} layers" + (f"; {wrong}" if wrong else "")
        found.append(Bar(text, said, len(right) == len(pruned)))
    if native is not None:
        text = f"{native.file}: native kernels equal to LiteRT bit for bit"
        found.append(Bar(text, f"{native.equal:,} of {native.images:,} images", native.equal == native.images))
        text = f"{native.file}: faster than {native.baseline} with native kernels"
        found.append(Bar(text, f"{native.speedup:.2f}x", native.speedup > 1))
    return found


def _within(points, limit):
    # Both are decimal fractions of a count of images; binary rounding must not decide.
    return points <= limit + 1e-9
