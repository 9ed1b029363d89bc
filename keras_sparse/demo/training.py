"""The two fits of the demo: the dense float baseline, and the default recipe that starts from it."""

import math
import time
from dataclasses import dataclass

import keras
import numpy as np

import keras_sparse as ks
from keras_sparse.demo import model as models
from keras_sparse.demo.progress import FitProgress

BATCH = 32
"""An image costs as much as in a large batch, and few epochs then are enough steps."""

DENSE_RATE, SPARSE_RATE = 2e-3, 1.5e-3
"""Learning rates at the start of the fits; a cosine takes them to 0."""

SPARSITY = 0.75
UPDATES = 40
"""Mask updates in a fit, at most; more cost time and change nothing."""


@dataclass(frozen=True)
class Images:
    """Images scaled to [0, 1], `float32 (n, 28, 28, 1)`, and labels, for training and for testing."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    @classmethod
    def of(cls, dataset, train=None, test=None):
        """The first `train` and `test` images of the data set; all of them by default."""
        x_train, x_test = (
            x[:n, ..., np.newaxis].astype(np.float32) / 255
            for x, n in ((dataset.x_train, train), (dataset.x_test, test))
        )
        return cls(x_train, dataset.y_train[:train], x_test, dataset.y_test[:test])

    @property
    def steps(self):
        """Optimizer steps of an epoch."""
        return math.ceil(len(self.x_train) / BATCH)


@dataclass(frozen=True)
class Fit:
    """How a fit went: figures of each epoch, as Keras names them; paths of the kernels that were pruned, and the
    fraction of zeros of all of them together after each mask update, as (step, fraction)."""

    name: str
    epochs: int
    steps: int
    seconds: float
    history: dict[str, list[float]]
    pruned: list[str]
    updates: list[tuple[int, float]]


def recipe(total):
    """The default recipe for a fit of `total` steps: cubic pruning of 1x1 convolutions in blocks, then int8.

    Blocks of four inputs are what the native kernels skip; benchmarks/native_pareto.py is why they and this sparsity.
    """
    ramp = ks.Cubic(begin=0.0, end=0.5, every=math.ceil(total / (2 * UPDATES)))
    prune = ks.Prune(ks.Block((1, 4), SPARSITY), ramp, match="pw*/kernel")
    return ks.Recipe([prune, ks.Quantize(begin=0.6, freeze=0.9)])


def dense(images, classes, epochs, steps):
    """The dense float baseline, trained, and its `Fit`."""
    model = models.build(classes)
    return model, _fit("dense float", model, images, epochs, DENSE_RATE, steps)


def sparse(baseline, rules, images, epochs, steps):
    """A copy of the baseline, pruned and quantized in one fit as the recipe `rules` says, and its `Fit`."""
    model = ks.prepare(baseline, rules)
    return model, _fit("sparse int8", model, images, epochs, SPARSE_RATE, steps, ks.Sparsify(rules))


def _fit(name, model, images, epochs, rate, steps, sparsify=None):
    total = images.steps * epochs
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, total)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # on a CPU, XLA makes convolutions several times slower
    )
    started = time.monotonic()
    history = model.fit(
        images.x_train,
        images.y_train,
        batch_size=BATCH,
        epochs=epochs,
        # Shown, and nothing is chosen by it: the last epoch's weights are taken.
        validation_data=(images.x_test, images.y_test),
        validation_batch_size=1000,
        callbacks=[*([sparsify] if sparsify else []), FitProgress(steps)],
        verbose=0,
    )
    seconds = time.monotonic() - started
    updates = sparsify.updates if sparsify else []
    pruned = list(updates[-1][1]) if updates else []
    sizes = {variable.path: math.prod(variable.shape) for variable in model.weights if variable.path in pruned}
    totals = [
        (step, sum(sizes[path] * zeros for path, zeros in each.items()) / sum(sizes.values())) for step, each in updates
    ]
    figures = {key: [float(value) for value in values] for key, values in history.history.items()}
    return Fit(name, epochs, total, seconds, figures, pruned, totals)
