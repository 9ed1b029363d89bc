"""The demo's files: exported, run on the whole test set in their runtimes, and timed."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras_sparse_edge.native import available

import keras_sparse as ks
from keras_sparse.demo.results import BASELINE, FILES, NATIVE, NATIVE_KERNELS, FileResult, KernelResult, NativeResult
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


def sources(dense, sparse, images, steps, folder, attempts):
    """The files to be made, from the dense float model, its int8 form by calibration, and the trained sparse int8 one.

    Where calibration fails, its file is left out.
    """
    models = {"dense float": dense, "sparse int8": sparse}
    for name, file in FILES:
        if name == "dense int8":
            with attempts(file, folder / file):
                models[name] = ks.calibrate(dense, images.x_train[:SAMPLES])
    right = {}
    for name, model in models.items():
        right[name] = keras_correct(model, images)
        steps.line(f"{name}: {100 * right[name] / len(images.y_test):.2f} % in Keras")
    return [Source(name, file, models[name], right[name]) for name, file in FILES if name in models]


def export(sources, folder, images, steps, attempts):
    """Writes the files, verified; returns `[(source, artifact)]` of those that could be made."""
    made = []
    with steps.bar("exporting, file", len(sources)) as show:
        for number, source in enumerate(sources):
            show(number, source.file)
            with attempts(source.file, folder / source.file):
                artifact = ks.export(source.model, folder / source.file, samples=images.x_train[:SAMPLES])
                made.append((source, artifact))
                checks = artifact.report.verification
                ways = ", ".join(f"{c.runtime} off by {c.rms:.2g} of {c.rms_tolerance:.2g} allowed" for c in checks)
                steps.line(f"{source.file}: verified ({ways})")
    return made


def run(made, images, rounds, steps, attempts):
    """A `FileResult` for each file of `[(source, artifact)]` that runs: on the whole test set, then all timed against
    each other, in turns."""
    right = {}
    with steps.bar("testing, file", len(made)) as show:
        for number, (source, artifact) in enumerate(made):
            show(number, source.file)
            with attempts(source.file):
                (scores,) = isolated.run(artifact.path, [images.x_test])
                right[source.file] = correct(scores, images.y_test)
                accuracy = 100 * right[source.file] / len(scores)
                steps.line(f"{source.file}: {accuracy:.2f} % of {len(scores):,} images in {RUNTIMES[artifact.target]}")
    ran = [(source, artifact) for source, artifact in made if source.file in right]
    latencies = {}
    if ran:
        with attempts("latency"), steps.bar("timing, round", rounds) as show:
            timed = ks.benchmark([artifact for _, artifact in ran], rounds=rounds, progress=show, native=False)
            latencies = {Path(each.path).name: (each.latency, each.speedup) for each in timed.files}
    return [
        FileResult(
            source.name,
            source.file,
            RUNTIMES[artifact.target],
            right[source.file],
            source.correct,
            len(images.y_test),
            artifact.path.stat().st_size,
            len(gzip.compress(artifact.path.read_bytes(), 9, mtime=0)),
            *latencies.get(source.file, (None, None)),
        )
        for source, artifact in ran
    ]


def native(artifacts, images, rounds, steps, attempts):
    """A `NativeResult` for the sparse `.tflite` file against the dense int8 one; `None` where no kernels are, or one of
    the two files is missing, or fails.

    Args:
        artifacts: {file: `Artifact`} of the files that were made.
    """
    if not available():
        steps.line("No native INT8 kernels here: the library was not built, or not for this processor")
        return None
    missing = [file for file in (NATIVE, BASELINE) if file not in artifacts]
    if missing:
        attempts.add(NATIVE_KERNELS, f"they need {' and '.join(missing)}, which could not be made")
        return None
    sparse, dense = artifacts[NATIVE], artifacts[BASELINE]
    with attempts(NATIVE_KERNELS):
        alone, scores = (isolated.run(sparse.path, [images.x_test], engine=engine)[0] for engine in (None, "native"))
        with steps.bar("timing with the native kernels, round", rounds) as show:
            timed = ks.benchmark([dense, sparse], rounds=rounds, progress=show, native=True).files[1]
        equal = int(np.count_nonzero((scores == alone).all(1)))
        steps.line(f"{sparse.path.name} with ks.delegate(): {timed.speedup:.2f}x as fast as {dense.path.name}")
        return NativeResult(NATIVE, BASELINE, timed.latency, timed.speedup, equal, len(scores))
    return None


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
