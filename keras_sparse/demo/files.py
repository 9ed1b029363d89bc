"""The demo's files: exported, run on the whole test set in their runtimes, and timed."""

from dataclasses import dataclass

import keras
import numpy as np
from keras_sparse_edge.native import available

import keras_sparse as ks
from keras_sparse.demo.results import FileResult, KernelResult, NativeResult
from keras_sparse.runtime import isolated

SAMPLES = 256
"""Training images that ranges are calibrated and exports verified on."""

RUNTIMES = {"litert": "LiteRT", "onnxruntime": "ONNX Runtime"}


@dataclass(frozen=True)
class Source:
    """A file to be made: of which Keras model, which has `correct` test images right."""

    name: str
    file: str
    model: keras.Model
    correct: int


def correct(scores, labels):
    """How many items have the highest score at their label.

    >>> correct(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    1
    """
    return int(np.count_nonzero(scores.argmax(1) == labels))


def keras_correct(model, images):
    """How many test images the Keras model has right."""
    return correct(model.predict(images.x_test, batch_size=1000, verbose=0), images.y_test)


def sources(dense, sparse, images, steps):
    """The four files, from the dense float model, its int8 form by calibration, and the trained sparse int8 model."""
    calibrated = ks.calibrate(dense, images.x_train[:SAMPLES])
    models = {"dense float": dense, "dense int8": calibrated, "sparse int8": sparse}
    right = {}
    for name, model in models.items():
        right[name] = keras_correct(model, images)
        steps.line(f"{name}: {100 * right[name] / len(images.y_test):.2f} % in Keras")
    named = (
        ("dense float", "dense_float.tflite"),
        ("dense int8", "dense_int8.tflite"),
        ("sparse int8", "sparse_int8.tflite"),
        ("sparse int8", "sparse_int8.onnx"),
    )
    return [Source(name, file, models[name], right[name]) for name, file in named]


def export(sources, folder, images, steps):
    """Writes the files, verified; returns an `Artifact` for each."""
    artifacts = []
    for source in sources:
        artifacts.append(ks.export(source.model, folder / source.file, samples=images.x_train[:SAMPLES]))
        checks = artifacts[-1].report.verification
        ways = ", ".join(f"{each.runtime} off by {each.rms:.2g} of {each.rms_tolerance:.2g} allowed" for each in checks)
        steps.line(f"{source.file}: verified ({ways})")
    return artifacts


def run(sources, artifacts, images, rounds, steps):
    """A `FileResult` for each file: run on the whole test set, then all timed against each other, in turns."""
    right = []
    for source, artifact in zip(sources, artifacts, strict=True):
        (scores,) = isolated.run(artifact.path, [images.x_test])
        right.append(correct(scores, images.y_test))
        accuracy = 100 * right[-1] / len(scores)
        steps.line(f"{source.file}: {accuracy:.2f} % of {len(scores):,} images in {RUNTIMES[artifact.target]}")
    with steps.bar("timing, round", rounds) as show:
        timed = ks.benchmark(artifacts, rounds=rounds, progress=show, native=False)
    return [
        FileResult(
            source.name,
            source.file,
            RUNTIMES[artifact.target],
            n,
            source.correct,
            len(images.y_test),
            times.bytes,
            times.bytes_gzip,
            times.latency,
            times.speedup,
        )
        for source, artifact, n, times in zip(sources, artifacts, right, timed.files, strict=True)
    ]


def native(dense, sparse, images, rounds, steps):
    """A `NativeResult` for the sparse `.tflite` file against the dense int8 one, or `None` where no kernels are."""
    if not available():
        steps.line("No native INT8 kernels here: the library was not built, or not for this processor")
        return None
    alone, scores = (isolated.run(sparse.path, [images.x_test], engine=engine)[0] for engine in (None, "native"))
    with steps.bar("timing with the native kernels, round", rounds) as show:
        timed = ks.benchmark([dense, sparse], rounds=rounds, progress=show, native=True).files[1]
    equal = int(np.count_nonzero((scores == alone).all(1)))
    steps.line(f"{sparse.path.name} with ks.delegate(): {timed.speedup:.2f}x as fast as {dense.path.name}")
    return NativeResult(sparse.path.name, dense.path.name, timed.latency, timed.speedup, equal, len(scores))


def kernels(artifacts, pruned):
    """A `KernelResult` for each kernel of the sparse files, its zeros counted in the files themselves.

    Args:
        artifacts: of the sparse files, which hold the same kernels.
        pruned: paths of the kernels that the recipe prunes.
    """
    zeros, sizes = {}, {}
    for artifact in artifacts:
        stored = {each.name: each for each in ks.sparsity(artifact.path).kernels}
        for tensor in artifact.report.tensors:
            zeros.setdefault(tensor.name, {})[artifact.path.name] = stored[tensor.stored_as].zeros
            sizes[tensor.name] = stored[tensor.stored_as].size
    lost = set(pruned) - set(zeros)
    if lost:
        raise RuntimeError(f"Pruned kernels that are not in the files: {sorted(lost)}")
    return [KernelResult(name, sizes[name], name in pruned, found) for name, found in zeros.items()]
