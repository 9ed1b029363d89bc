"""Saved, loaded and trained on, a model is what it would be had it never been saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.train.strip import stripped

HALF = ks.Unstructured(0.5)
# name: (patterns and fractions of two epochs of 8 steps, the same in optimizer steps); saved after step 8 or 5
RECIPES: dict[str, tuple[list[Any], list[Any]]] = {
    "cubic": ([ks.Prune(HALF, ks.Cubic(0.1, 0.9, every=3))], [ks.Prune(HALF, ks.Cubic(2, 14, every=3))]),
    "linear, updates at every step": (
        [ks.Prune(HALF, ks.Linear(0.0, 1.0, every=1))],
        [ks.Prune(HALF, ks.Linear(0, 16, every=1))],
    ),
    "one shot before": ([ks.Prune(HALF, ks.OneShot(0.25))], [ks.Prune(HALF, ks.OneShot(4))]),
    "one shot at": ([ks.Prune(HALF, ks.OneShot(0.5))], [ks.Prune(HALF, ks.OneShot(5))]),
    "one shot after": ([ks.Prune(HALF, ks.OneShot(0.75))], [ks.Prune(HALF, ks.OneShot(12))]),
    "n of m": ([ks.Prune(ks.NofM(1, 4), ks.Linear(0.0, 0.9))], [ks.Prune(ks.NofM(1, 4), ks.Linear(0, 14, every=4))]),
    "blocks": (
        [ks.Prune(ks.Block((2, 3), 0.6), ks.Cubic(0.0, 0.9, every=2))],
        [ks.Prune(ks.Block((2, 3), 0.6), ks.Cubic(0, 14, every=2))],
    ),
    "global": (
        [ks.Prune(HALF, ks.Cubic(0.0, 0.9, every=2), scope="global")],
        [ks.Prune(HALF, ks.Cubic(0, 14, every=2), scope="global")],
    ),
    "quantize": ([ks.Quantize(begin=0.25)], [ks.Quantize(begin=3)]),
    "quantize later": ([ks.Quantize(begin=0.75)], [ks.Quantize(begin=12)]),
    "quantize, frozen before": ([ks.Quantize(begin=0.0, freeze=0.25)], [ks.Quantize(begin=0, freeze=4)]),
    "quantize, frozen after": ([ks.Quantize(begin=0.25, freeze=0.75)], [ks.Quantize(begin=3, freeze=12)]),
    "both": (
        [ks.Prune(HALF, ks.Cubic(0.0, 0.75, every=2)), ks.Quantize(begin=0.25, freeze=0.8)],
        [ks.Prune(HALF, ks.Cubic(0, 12, every=2)), ks.Quantize(begin=4, freeze=13)],
    ),
}
BY_EPOCHS = ("cubic", "one shot at", "n of m", "global", "quantize", "quantize, frozen after", "both")
BY_STEPS = (*(name for name in RECIPES if name not in BY_EPOCHS), "cubic", "both")
"""Each recipe goes on in one of two ways, and the first and the last one in both."""

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
}


def start(make: Callable[[], Any], recipe: ks.Recipe, optimizer: Any) -> Any:
    """A model of the same first weights each time."""
    keras.utils.set_random_seed(7)
    model = ks.prepare(make(), recipe)
    model.compile(optimizer, "mse", jit_compile=False)
    return model


def fit(model: Any, data: Any, recipe: ks.Recipe, *callbacks: Any, partial: bool = False, **arguments: Any) -> Any:
    sparsify = ks.Sparsify(recipe, partial=partial)
    arguments = {"batch_size": 8, "verbose": 0, "shuffle": False, **arguments}
    history = model.fit(*data, **arguments, callbacks=[sparsify, *callbacks])
    return sparsify, history


def reload(model: Any, folder: Path) -> Any:
    model.save(folder / "saved.keras")
    return keras.models.load_model(folder / "saved.keras")


def assert_same(ours: Any, theirs: Any) -> None:
    assert int(ours.optimizer.iterations) == int(theirs.optimizer.iterations)
    for mine, other in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(other), rtol=0, atol=1e-6, err_msg=other.path
        )
    for mine, other in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-5, atol=1e-6, err_msg=other.path)


def values(updates: list[Any]) -> list[Any]:
    """Steps and sparsities, without paths."""
    return [(step, list(sparsity.values())) for step, sparsity in updates]


@pytest.mark.parametrize("name", BY_EPOCHS)
def test_fractions_over_epochs(name: str, mlp: Any, vectors: Any, stop_after: Any, tmp_path: Path) -> None:
    recipe = ks.Recipe(RECIPES[name][0])
    whole = start(mlp, recipe, OPTIMIZERS["adam"]())
    once, history = fit(whole, vectors, recipe, epochs=2)
    part = start(mlp, recipe, OPTIMIZERS["adam"]())
    first, _ = fit(part, vectors, recipe, stop_after(0), epochs=2, partial=True)
    part = reload(part, tmp_path)
    second, rest = fit(part, vectors, recipe, epochs=2, initial_epoch=1)
    assert_same(part, whole)
    assert rest.history["loss"][-1] == pytest.approx(history.history["loss"][-1], abs=1e-6)
    # What was made before is made again, of the same weights; nothing else is.
    again = [update for update in second.updates if update[0] > 8]
    assert values(first.updates + again) == values(once.updates)


@pytest.mark.parametrize("name", BY_STEPS)
def test_steps_in_the_middle_of_an_epoch(name: str, mlp: Any, vectors: Any, tmp_path: Path) -> None:
    recipe = ks.Recipe(RECIPES[name][1])
    x, y = (np.concatenate([each, each[::-1]]) for each in vectors)  # 16 batches
    whole = start(mlp, recipe, OPTIMIZERS["momentum"]())
    once, _ = fit(whole, (x, y), recipe)
    part = start(mlp, recipe, OPTIMIZERS["momentum"]())
    fit(part, (x[:40], y[:40]), recipe, partial=True)
    part = reload(part, tmp_path)
    second, _ = fit(part, (x[40:], y[40:]), recipe)
    assert [step for step, _ in second.updates if step > 5] == [step for step, _ in once.updates if step > 5]
    assert_same(part, whole)


@pytest.mark.parametrize("name", ["cnn", "residual"])
def test_convolutions_and_batch_norm(
    name: str, request: pytest.FixtureRequest, images: Any, stop_after: Any, tmp_path: Path
) -> None:
    recipe = ks.Recipe([ks.Prune(HALF, ks.Cubic(0.0, 0.75, every=1)), ks.Quantize(begin=0.5)])
    build = request.getfixturevalue(name)
    make = (lambda: build(dropout=0.0)) if name == "cnn" else build  # Keras saves no state of random numbers
    whole = start(make, recipe, OPTIMIZERS["momentum"]())
    fit(whole, images, recipe, epochs=4, batch_size=8)
    part = start(make, recipe, OPTIMIZERS["momentum"]())
    fit(part, images, recipe, stop_after(2), epochs=4, partial=True)
    part = reload(part, tmp_path)
    fit(part, images, recipe, epochs=4, initial_epoch=3)
    assert_same(part, whole)
    for ours, theirs in zip(stripped(part).tensors, stripped(whole).tensors, strict=True):
        np.testing.assert_array_equal(ours.values == 0, theirs.values == 0)


def test_a_checkpoint_of_a_run_that_died(mlp: Any, vectors: Any, tmp_path: Path) -> None:
    """Each file of ModelCheckpoint leads to the same end."""
    recipe = ks.Recipe(RECIPES["both"][1])
    x, y = (np.concatenate([each, each[::-1]]) for each in vectors)
    whole = start(mlp, recipe, OPTIMIZERS["adam"]())
    fit(whole, (x, y), recipe, keras.callbacks.ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=3))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    for file in files:
        part = keras.models.load_model(file)
        done = int(part.optimizer.iterations)
        fit(part, (x[8 * done :], y[8 * done :]), recipe)
        assert_same(part, whole)


def test_an_unpruned_past_is_not_taken_for_a_pruned_one(mlp: Any, vectors: Any, tmp_path: Path) -> None:
    recipe = ks.Recipe([ks.Prune(HALF, ks.OneShot(4))])
    model = start(mlp, recipe, "adam")
    model.fit(*vectors, batch_size=8, verbose=0)
    model = reload(model, tmp_path)
    with pytest.raises(
        ValueError, match=r"the update of step 4 lies before this fit, which starts at optimizer step 8"
    ):
        fit(model, vectors, recipe)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(precision: str, mlp: Any, vectors: Any, stop_after: Any, tmp_path: Path) -> None:
    keras.config.set_dtype_policy(precision)
    recipe = ks.Recipe(RECIPES["both"][0])
    whole = start(mlp, recipe, keras.optimizers.SGD(0.01))
    fit(whole, vectors, recipe, epochs=2)
    part = start(mlp, recipe, keras.optimizers.SGD(0.01))
    fit(part, vectors, recipe, stop_after(0), epochs=2, partial=True)
    part = reload(part, tmp_path)
    fit(part, vectors, recipe, epochs=2, initial_epoch=1)
    assert_same(part, whole)


def test_skipped_steps_before_the_save(mlp: Any, vectors: Any, stop_after: Any, tmp_path: Path, zeros: Any) -> None:
    """Loss scaling skips its first steps: the optimizer has counted fewer than the epochs before took."""
    keras.config.set_dtype_policy("mixed_float16")
    recipe = ks.Recipe([ks.Prune(HALF, ks.Cubic(0.0, 0.75, every=1))])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=2.0**22)
    model = start(mlp, recipe, optimizer)
    fit(model, vectors, recipe, stop_after(0), epochs=2, partial=True)
    assert int(optimizer.iterations) < 8
    model = reload(model, tmp_path)
    fit(model, vectors, recipe, epochs=2, initial_epoch=1)
    assert sorted(zeros(model).values()) == [12, 24]


def test_predictions_and_weights_files(mlp: Any, vectors: Any, tmp_path: Path) -> None:
    recipe = ks.Recipe(RECIPES["both"][0])
    model = start(mlp, recipe, "adam")
    fit(model, vectors, recipe, epochs=2)
    loaded = reload(model, tmp_path)
    np.testing.assert_array_equal(loaded(vectors[0]), model(vectors[0]))
    model.save_weights(tmp_path / "saved.weights.h5")
    fresh = ks.prepare(mlp(), recipe)
    fresh.load_weights(tmp_path / "saved.weights.h5")
    np.testing.assert_array_equal(fresh(vectors[0]), model(vectors[0]))
    for each in (loaded, fresh):
        for ours, theirs in zip(stripped(each).tensors, stripped(model).tensors, strict=True):
            np.testing.assert_array_equal(ours.values, theirs.values)
            np.testing.assert_array_equal(ours.scale, theirs.scale)  # type: ignore[arg-type]


def test_a_saved_model_carries_no_mask(mlp: Any, vectors: Any, tmp_path: Path, masked: Any) -> None:
    """A file saved in the middle of a fit has the user's constraints in it, and needs nothing of ours to be read."""
    recipe = ks.Recipe([ks.Prune(HALF, ks.OneShot(0))])
    model = start(lambda: mlp(kernel_constraint="non_neg"), recipe, "adam")
    fit(model, vectors, recipe, keras.callbacks.ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=4))
    loaded = keras.models.load_model(tmp_path / "4.keras")
    assert masked(loaded) == []
    assert isinstance(loaded.get_layer("dense1").kernel.constraint, keras.constraints.NonNeg)
