"""`keras-sparse demo`: from Fashion-MNIST to verified files, an edge bundle and a report."""

import io
import json
import shlex
import time
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import keras
import numpy as np

from keras_sparse.atomic import write_atomically
from keras_sparse.demo import data, files, results, training
from keras_sparse.demo.attempts import Attempts, Failure
from keras_sparse.demo.machine import machine
from keras_sparse.demo.progress import Steps
from keras_sparse.exporting.bundle import write_bundle
from keras_sparse.report import html, tables
from keras_sparse.versions import versions

EXAMPLES = 5
"""Raw test images in `example_input.npy`."""

EPOCHS = 4
"""Of each of the two fits."""

SECONDS_PER_IMAGE, CORES_USED = 0.002, 4
"""Seconds of one core that an epoch takes for each image, and cores that shorten it."""

OLDER = 2.5
"""How many times as long an older processor takes."""

SECONDS_BESIDE = 40
"""Seconds of everything but training and timing."""


@dataclass(frozen=True)
class Options:
    """What the demo is asked to do.

    Args:
        data: folder of the IDX files; `None`: the best copy that can be had.
        out: folder for the files that are written.
        quick: a smoke run on a few images, whose bars are not judged.
        epochs: of each of the two fits.
        seed: of all random numbers.
        rounds: of the timing.
        train, test: how many images to take; `None`: all.
    """

    data: Path | None = None
    out: Path = Path("keras-sparse-demo")
    quick: bool = False
    epochs: int | None = None
    seed: int = 0
    rounds: int = 200
    train: int | None = None
    test: int | None = None

    def settled(self):
        """The same with every figure that `quick` and defaults decide."""
        if not self.quick:
            return replace(self, epochs=self.epochs or EPOCHS)
        return replace(self, epochs=self.epochs or 3, rounds=20, train=2560, test=400)

    @property
    def command(self):
        """The command that repeats it."""
        words = ["keras-sparse", "demo", "--epochs", str(self.epochs), "--seed", str(self.seed)]
        words += ["--data", str(self.data)] if self.data else []
        words += ["--quick"] if self.quick else []
        return shlex.join([*words, "--out", str(self.out)])


@dataclass(frozen=True)
class Results:
    """All that the demo found; `report.json` is `to_dict()`, and the HTML page is made of that and the recipe."""

    options: Options
    source: str
    images: dict[str, int]
    fits: tuple[training.Fit, ...]
    files: tuple[results.FileResult, ...]
    kernels: tuple[results.KernelResult, ...]
    native: results.NativeResult | None
    bars: tuple[results.Bar, ...]
    failures: tuple[Failure, ...]
    dense_correct: int
    quantize_begin: int
    recipe: dict
    seconds: float
    made: str

    @property
    def judged(self):
        return not self.options.quick

    @property
    def holds(self):
        return all(bar.holds for bar in self.bars)

    @property
    def failed(self):
        """The files that have no figures, for they could not be made or run."""
        known, failed = {each.file for each in self.files}, {each.what for each in self.failures}
        return [file for _, file in results.FILES if file in failed and file not in known]

    def to_dict(self):
        return {
            "title": "Fashion-MNIST: sparse int8 against dense float",
            "made": self.made,
            "command": self.options.command,
            "seconds": self.seconds,
            "judged": self.judged,
            "data": {"source": self.source, **self.images},
            "fits": [asdict(fit) for fit in self.fits],
            "files": [
                {**asdict(each), "accuracy": each.accuracy, "keras_accuracy": each.keras_accuracy}
                for each in self.files
            ],
            "rounds": self.options.rounds,
            "kernels": [asdict(each) for each in self.kernels],
            "native": asdict(self.native) if self.native else None,
            "bars": [asdict(bar) for bar in self.bars],
            "failed": self.failed,
            "failures": [asdict(each) for each in self.failures],
            "baseline": self.dense_correct / self.images["test"],
            "quantize_begin": self.quantize_begin,
            "recipe": self.recipe,
            "versions": versions(),
            "machine": machine(),
        }


def run(options, console):
    """Does it all, says what it does on `console`, and returns `Results`; what it wrote is in `options.out`.

    What fails after the training is in `Results.failures`, and the rest is done without it.
    """
    options, started = options.settled(), time.monotonic()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    steps = Steps(console, 7)
    attempts = Attempts(steps)
    steps.step("Data: Fashion-MNIST")
    dataset = data.load(options.data)
    images = training.Images.of(dataset, options.train, options.test)
    steps.line(f"Source: {dataset.source}")
    steps.line(f"Used: {len(images.x_train):,} for training, {len(images.x_test):,} for testing")
    steps.line(expected(len(images.x_train), options.epochs, options.rounds, machine()["cores"]))
    rules = training.recipe(images.steps * options.epochs)
    rules.save(out / "recipe.yaml")  # before all the training, it shows whether the folder can be written to
    keras.utils.set_random_seed(options.seed)

    steps.step(f"Dense float baseline: {options.epochs} epochs of {images.steps} steps")
    dense, dense_fit = training.dense(images, len(dataset.labels), options.epochs, steps)
    dense.save(out / "dense_float.keras")

    zeros = tables.percent(training.SPARSITY, 0)
    steps.step(f"Recipe, in one fit: prune {zeros} in 1x4 blocks, then quantization-aware training with the masks kept")
    sparse, sparse_fit = training.sparse(dense, rules, images, options.epochs, steps)
    sparse.save(out / "sparse_int8.keras")

    steps.step("Export, each file verified against its Keras model")
    sources = files.sources(dense, sparse, images, steps, out, attempts)
    made = files.export(sources, out, images, steps, attempts)
    artifacts = {source.file: artifact for source, artifact in made}

    steps.step("Every file in its runtime: the whole test set, then latency")
    measured = files.run(made, images, options.rounds, steps, attempts)
    native = files.native(artifacts, images, options.rounds, steps, attempts)

    steps.step("Zeros, counted in the exported buffers")
    kernels = []
    held = [artifact for source, artifact in made if source.model is sparse]
    if held:
        with attempts("zeros of the sparse files"):
            kernels = files.kernels(held, sparse_fit.pruned)
    for each in kernels:
        if each.pruned:
            counts = ", ".join(f"{zeros:,} in {file}" for file, zeros in each.zeros.items())
            steps.line(f"{each.name}: {counts}, of {each.size:,}")

    steps.step("Edge bundle and report")
    dense_correct = sources[0].correct
    missing = [each.what for each in attempts.failures]
    found = Results(
        options,
        dataset.source,
        {"train": len(images.x_train), "test": len(images.x_test)},
        (dense_fit, sparse_fit),
        tuple(measured),
        tuple(kernels),
        native,
        tuple(results.bars(measured, kernels, dense_correct, training.SPARSITY, native, missing)),
        tuple(attempts.failures),
        dense_correct,
        round(rules.quantize.begin * sparse_fit.steps),
        rules.to_dict(),
        time.monotonic() - started,
        datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    with attempts("model.ksb", out / "model.ksb"):
        _bundle(out / "model.ksb", out / results.NATIVE, found, dataset.labels)
    with attempts("example_input.npy", out / "example_input.npy"):
        write_atomically(out / "example_input.npy", _npy(dataset.x_test[:EXAMPLES]))
    found = replace(found, failures=tuple(attempts.failures))
    with attempts("report.html", out / "report.html"):
        page = html.page(found.to_dict(), (out / "recipe.yaml").read_text())
        write_atomically(out / "report.html", page.encode())
    found = replace(found, failures=tuple(attempts.failures))
    with attempts("report.json", out / "report.json"):
        content = json.dumps(found.to_dict(), indent=2, allow_nan=False)
        write_atomically(out / "report.json", f"{content}\n".encode())
    return replace(found, failures=tuple(attempts.failures))


def expected(train, epochs, rounds, cores):
    """How long it takes about, in words: from processors with AVX2 of some years ago to those with half their speed.

    >>> expected(10_000, 4, 200, 2)
    'Takes about 2 to 6 minutes on 2 cores; each epoch then says what is left of its fit'
    """
    seconds = 2 * epochs * train * SECONDS_PER_IMAGE / min(cores, CORES_USED) + SECONDS_BESIDE + 0.1 * rounds
    least, most = max(1, round(seconds / 60)), max(2, round(OLDER * seconds / 60))
    shown = f"{cores} core" + "s" * (cores != 1)
    return f"Takes about {least} to {most} minutes on {shown}; each epoch then says what is left of its fit"


def _bundle(path, model, found, labels):
    result = next((each for each in found.files if each.file == model.name), None)
    pruned = [each for each in found.kernels if each.pruned and model.name in each.zeros]
    if result is None or not pruned:
        raise RuntimeError(f"it needs {model.name}, its accuracy and its zeros, one of which failed")
    zeros, size = sum(each.zeros[model.name] for each in pruned), sum(each.size for each in pruned)
    write_bundle(
        path,
        model.read_bytes(),
        labels=labels,
        preprocessing={"dtype": "uint8", "shape": data.IMAGE_SHAPE, "scale": 1 / 255, "offset": 0.0},
        postprocessing="softmax",
        metrics={"accuracy": result.accuracy, "test_images": result.images, "sparsity": zeros / size},
        recipe=found.recipe,
        versions=versions(),
    )


def _npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
