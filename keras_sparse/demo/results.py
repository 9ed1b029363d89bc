"""What the demo found: figures of each file, and the bars that they are held against."""

from dataclasses import dataclass

from keras_sparse.report import tables

LOSS = 1.0
"""Points of accuracy that the sparse int8 files may lose against the dense float model."""

DEVIATION = 0.1
"""Points of accuracy between a file and the Keras model that it came from."""

FILES = (
    ("dense float", "dense_float.tflite"),
    ("dense int8", "dense_int8.tflite"),
    ("sparse int8", "sparse_int8.tflite"),
    ("sparse int8", "sparse_int8.onnx"),
)
"""The files that are made, with the names of their models."""

NATIVE, BASELINE = "sparse_int8.tflite", "dense_int8.tflite"
"""The file that is run with the native kernels too, and what it is held against."""

NATIVE_KERNELS = "native kernels"
NO_FIGURE = "no figure, for a step failed"


@dataclass(frozen=True)
class FileResult:
    """One file: accuracy on the whole test set in its runtime, and that of the Keras model it came from; bytes;
    median seconds per image, and how many times faster than the first file, `None` where timing failed."""

    name: str
    file: str
    runtime: str
    correct: int
    keras_correct: int
    images: int
    bytes: int
    bytes_gzip: int
    latency: float | None
    speedup: float | None

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


def bars(files, kernels, dense_correct, sparsity, native=None, missing=()):
    """The bars, each against what was measured; one without a figure does not hold.

    Args:
        files: `FileResult`s; those whose name begins with "sparse" are held against the baseline.
        kernels: `KernelResult`s.
        dense_correct: test images that the dense float Keras model has right.
        sparsity: the fraction of zeros that every pruned kernel has to have.
        native: a `NativeResult`, where there are native kernels.
        missing: names of files, and `NATIVE_KERNELS`, that have no result because they failed.
    """
    results = {each.file: each for each in files}
    known = [(each.name, each.file) for each in files]
    known += [(name, file) for name, file in FILES if file in missing and file not in results]
    sparse = [file for name, file in known if name.startswith("sparse")]
    found = []
    for file in sparse:
        text = f"{file} within {LOSS:.1f} point of the dense float model"
        if file not in results:
            found.append(Bar(text, NO_FIGURE, False))
            continue
        lost = 100 * (dense_correct - results[file].correct) / results[file].images
        said = f"{abs(lost):.2f} points {'below' if lost >= 0 else 'above'}"
        found.append(Bar(text, said, _within(lost, LOSS)))
    for _, file in known:
        text = f"{file} within {DEVIATION} point of its Keras model"
        if file not in results:
            found.append(Bar(text, NO_FIGURE, False))
            continue
        gap = 100 * (results[file].correct - results[file].keras_correct) / results[file].images
        found.append(Bar(text, f"{gap:+.2f} points", _within(abs(gap), DEVIATION)))
    pruned = [each for each in kernels if each.pruned]
    counted = list(pruned[0].zeros) if pruned else []
    for file in [*counted, *(file for file in sparse if file not in counted)]:
        text = f"{file}: every pruned layer exactly {tables.percent(sparsity, 0)} zeros"
        if file not in counted:
            found.append(Bar(text, NO_FIGURE, False))
            continue
        right = [each for each in pruned if each.zeros[file] == round(sparsity * each.size)]
        wrong = ", ".join(f"{each.name} has {each.zeros[file]} of {each.size}" for each in pruned if each not in right)
        said = f"{len(right)} of {len(pruned)} layers" + (f"; {wrong}" if wrong else "")
        found.append(Bar(text, said, len(right) == len(pruned)))
    if native is not None or NATIVE_KERNELS in missing:
        equal, faster = (NO_FIGURE, False), (NO_FIGURE, False)
        if native is not None:
            equal = f"{native.equal:,} of {native.images:,} images", native.equal == native.images
            faster = f"{native.speedup:.2f}x", native.speedup > 1
        found.append(Bar(f"{NATIVE}: native kernels equal to LiteRT bit for bit", *equal))
        found.append(Bar(f"{NATIVE}: faster than {BASELINE} with native kernels", *faster))
    return found


def _within(points, limit):
    # Both are decimal fractions of a count of images; binary rounding must not decide.
    return points <= limit + 1e-9
