"""However a fit ends, the model is the user's again: with their constraints, and dense in a fit without `Sparsify`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.train import kernels

HALF = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0))])
RAMP = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Linear(0, 12, every=3))])
Data = tuple[np.ndarray, np.ndarray]


class Within(keras.constraints.Constraint):
    """A constraint of the user's."""

    def __call__(self, w: Any) -> Any:
        return keras.ops.clip(w, -0.5, 0.5)


class Stop(Exception):
    """What a callback, a data set or a layer of the user's raises."""


USER = Within()
FIT: dict[str, Any] = {"batch_size": 8, "verbose": 0, "shuffle": False}


@pytest.fixture
def model(mlp: Callable[..., Any]) -> Any:
    """Compiled, with a constraint of the user's on every kernel."""
    keras.utils.set_random_seed(3)
    made = mlp(kernel_constraint=USER)
    made.compile(keras.optimizers.SGD(0.05), "mse", jit_compile=False)
    return made


@pytest.fixture
def is_the_users(vectors: Data, zeros: Any, masked: Any) -> Callable[[Any], None]:
    """Holds a model after an interrupted fit against what a model is after one that was not."""

    def check(model: Any) -> None:
        assert masked(model) == []
        assert all(kernel.variable.constraint is USER for kernel in kernels.find(model))
        model.fit(*vectors, **FIT)
        assert sum(zeros(model).values()) == 0
        assert max(np.abs(kernel.matrices()).max() for kernel in kernels.find(model)) <= 0.5
        assert masked(model) == []

    return check


def raising(hook: str, error: type[BaseException], number: int = 2) -> keras.callbacks.Callback:
    """A callback that raises in a hook: at its second call, where it has one."""
    made, calls = keras.callbacks.Callback(), [0]
    once = hook in ("on_train_begin", "on_train_end")

    def call(*args: Any, **kwargs: Any) -> None:
        calls[0] += 1
        if calls[0] == (1 if once else number):
            raise error(hook)

    setattr(made, hook, call)
    return made


def twice(step: Callable[[], Any]) -> None:
    """A unit whose outgoing weights are all zero has no gradient in the first step."""
    step()
    step()


# fit calls no hook of prediction
HOOKS = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_") and "predict" not in name]


@pytest.mark.parametrize(("first", "error"), [(True, Stop), (False, KeyboardInterrupt)])
@pytest.mark.parametrize("hook", HOOKS)
def test_a_callback_raises(
    hook: str, first: bool, error: type[BaseException], model: Any, vectors: Data, is_the_users: Any
) -> None:
    assert len(HOOKS) >= 12
    other, sparsify = raising(hook, error), ks.Sparsify(HALF)
    callbacks = [other, sparsify] if first else [sparsify, other]
    with pytest.raises(error):
        model.fit(*vectors, **FIT, epochs=2, validation_data=vectors, callbacks=callbacks)
    is_the_users(model)


class Items(keras.utils.PyDataset):
    """Raises at one of its batches."""

    def __init__(self, data: Data, at: int, error: type[BaseException]) -> None:
        super().__init__()
        self.data, self.at, self.error = data, at, error

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number: int) -> Any:
        if number == self.at:
            raise self.error("no more")
        return tuple(each[8 * number : 8 * number + 8] for each in self.data)


def generator(data: Data, at: int, error: type[BaseException]) -> Iterator[Any]:
    for number in range(8):
        if number == at:
            raise error("no more")
        yield tuple(each[8 * number : 8 * number + 8] for each in data)


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("make", [Items, generator])
def test_the_data_raise(
    make: Callable[..., Any], error: type[BaseException], model: Any, vectors: Data, is_the_users: Any
) -> None:
    with pytest.raises(BaseException, match="no more"):  # TensorFlow has errors of its own for it
        model.fit(make(vectors, 5, error), verbose=0, callbacks=[ks.Sparsify(HALF)])
    is_the_users(model)


class Fails(layers.Layer):
    """Raises at one of its calls in training."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        super().__init__()
        self.at, self.error, self.calls = at, error, 0

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.calls += 1
            if self.calls == self.at:
                raise self.error("in a layer")
        return x


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize(("eagerly", "at"), [(True, 4), (False, 1)])
def test_the_step_itself_raises(
    eagerly: bool, at: int, error: type[BaseException], mlp: Any, vectors: Data, is_the_users: Any
) -> None:
    model = mlp(kernel_constraint=USER)
    model.add(Fails(at, error))
    model.compile(keras.optimizers.SGD(0.05), "mse", run_eagerly=eagerly)
    with pytest.raises(error, match="in a layer"):
        model.fit(*vectors, **FIT, callbacks=[ks.Sparsify(HALF)])
    is_the_users(model)


# While the fit runs, too, nothing of ours is to be seen between its steps


def test_between_steps_the_constraints_are_the_users(model: Any, vectors: Data, look: Any, zeros: Any) -> None:
    watch = look(lambda model: ({each.variable.constraint for each in kernels.find(model)}, sum(zeros(model).values())))
    model.fit(*vectors, **FIT, callbacks=[ks.Sparsify(HALF), watch])
    assert watch.seen == [({USER}, 36)] * 8


def test_a_model_saved_after_it_is_plain(model: Any, vectors: Data, tmp_path: Path, masked: Any, zeros: Any) -> None:
    with pytest.raises(Stop):
        model.fit(*vectors, **FIT, callbacks=[ks.Sparsify(HALF), raising("on_train_batch_end", Stop)])
    model.save(tmp_path / "saved.keras")
    loaded = keras.models.load_model(tmp_path / "saved.keras", custom_objects={"Within": Within})
    assert masked(loaded) == []
    assert sum(zeros(loaded).values()) == 36
    assert isinstance(loaded.get_layer("dense1").kernel.constraint, Within)


# What may follow


@pytest.mark.parametrize("again", [True, False], ids=["the same Sparsify", "a new one"])
@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
def test_a_fit_that_goes_on_ends_as_if_it_had_not_been_interrupted(
    hook: str, again: bool, mlp: Any, vectors: Data
) -> None:
    weights = []
    x, y = (np.concatenate([each, each[::-1]]) for each in vectors)
    for interrupted in (False, True):
        keras.utils.set_random_seed(5)
        model = mlp(kernel_constraint=USER)
        model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", jit_compile=False)
        sparsify, done = ks.Sparsify(RAMP), 0
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                model.fit(x, y, **FIT, callbacks=[sparsify, raising(hook, KeyboardInterrupt, number=6)])
            done = int(model.optimizer.iterations)
            assert done == {"on_train_batch_begin": 5, "on_train_batch_end": 6}[hook]
        model.fit(x[8 * done :], y[8 * done :], **FIT, callbacks=[sparsify if again else ks.Sparsify(RAMP)])
        weights.append(model.get_weights())
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_batch_begin", "on_epoch_end"])
def test_a_history_of_the_users_own_does_not_hide_the_new_fit(hook: str, model: Any, vectors: Data, zeros: Any) -> None:
    history = keras.callbacks.History()
    with pytest.raises(Stop):
        model.fit(*vectors, **FIT, epochs=2, callbacks=[history, ks.Sparsify(HALF), raising(hook, Stop, number=1)])
    model.fit(*vectors, **FIT, callbacks=[history])
    assert sum(zeros(model).values()) == 0


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_batch_begin", "on_epoch_end"])
def test_single_batches_after_it_are_dense(hook: str, model: Any, vectors: Data, zeros: Any) -> None:
    sparsify = ks.Sparsify(HALF)
    with pytest.raises(Stop):
        model.fit(*vectors, **FIT, epochs=2, callbacks=[sparsify, raising(hook, Stop, number=1)])
    twice(lambda: model.train_on_batch(*vectors))
    assert sum(zeros(model).values()) == 0


def with_shared_layers(model: Any, vectors: Data) -> None:
    other = keras.Sequential([*model.layers, layers.Rescaling(2.0)])
    other.compile(keras.optimizers.SGD(0.05), "mse")
    other.fit(*vectors, **FIT)


def by_hand(model: Any, vectors: Data) -> None:
    variables = model.trainable_variables
    model.optimizer.apply([keras.ops.full(each.shape, 0.5) for each in variables], variables)


@pytest.mark.parametrize("train", [with_shared_layers, by_hand])
def test_steps_of_another_model_or_loop_are_dense(
    train: Callable[[Any, Data], None], model: Any, vectors: Data, zeros: Any
) -> None:
    sparsify = ks.Sparsify(HALF)
    with pytest.raises(Stop):
        model.fit(*vectors, **FIT, callbacks=[sparsify, raising("on_train_batch_end", Stop)])
    assert sum(zeros(model).values()) == 36
    train(model, vectors)
    assert sum(zeros(model).values()) == 0


@pytest.mark.parametrize("again", [False, True], ids=["a plain fit", "one with Sparsify"])
def test_an_interruption_while_masks_are_taken_off(
    again: bool, model: Any, vectors: Data, is_the_users: Any, masked: Any
) -> None:
    with pytest.raises(Stop):
        model.fit(*vectors, **FIT, callbacks=[ks.Sparsify(HALF), raising("on_train_batch_end", Stop)])
    for mask in model.train_function.masks:
        mask.put_on()
    assert len(masked(model)) == 2
    if again:
        recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0.5))])
        model.fit(*vectors, **FIT, callbacks=[ks.Sparsify(recipe)])
    else:
        model.fit(*vectors, **FIT)
    is_the_users(model)


# A fit that only seems to have ended


class Between(keras.callbacks.Callback):
    """Does something with the model in one hook."""

    def __init__(self, hook: str, do: Callable[[Any], Any]) -> None:
        super().__init__()
        setattr(self, hook, lambda *args, **kwargs: do(self.model))


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"])
def test_single_batches_within_the_fit_are_sparse(hook: str, model: Any, vectors: Data, zeros: Any) -> None:
    seen = []

    def do(model: Any) -> None:
        model.train_on_batch(*vectors)
        seen.append(sum(zeros(model).values()))

    model.fit(*vectors, **FIT, epochs=2, callbacks=[ks.Sparsify(HALF), Between(hook, do)])
    assert set(seen) == {36}


@pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("what", ["a train function made anew", "a fit of its own"])
def test_what_another_callback_does_to_the_train_function(
    what: str, hook: str, model: Any, vectors: Data, zeros: Any, look: Any
) -> None:
    watch = look(lambda model: sum(zeros(model).values()))
    inner = {
        "a train function made anew": lambda model: model.make_train_function(force=True),
        "a fit of its own": lambda model: model.fit(*vectors, **FIT),
    }[what]
    calls = []

    def do(model: Any) -> None:
        if not calls:
            calls.append(inner(model))

    model.fit(*vectors, **FIT, epochs=2, callbacks=[ks.Sparsify(HALF), watch, Between(hook, do)])
    assert len(calls) == 1
    assert watch.seen == [36] * 16
    assert sum(zeros(model).values()) == 36


@pytest.mark.parametrize("traced", [True, False])
def test_a_loop_of_the_users_own_that_calls_the_hooks(
    traced: bool, mlp: Any, vectors: Data, zeros: Any, masked: Any
) -> None:
    """Its steps do not come through the model's train function."""
    import tensorflow as tf

    model = mlp(kernel_constraint=USER)
    model.compile(keras.optimizers.SGD(0.05), "mse")

    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        model.optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    step = tf.function(step) if traced else step
    hooks = keras.callbacks.CallbackList([ks.Sparsify(HALF)], model=model, epochs=2, steps=8)
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        for number in range(8):
            hooks.on_train_batch_begin(number)
            step(*(each[8 * number : 8 * number + 8] for each in vectors))
            hooks.on_train_batch_end(number)
            assert sum(zeros(model).values()) == 36
            assert max(np.abs(kernel.matrices()).max() for kernel in kernels.find(model)) <= 0.5
        hooks.on_epoch_end(epoch)
    hooks.on_train_end()
    assert masked(model) == []
    twice(lambda: step(*vectors))
    assert sum(zeros(model).values()) == 0


@pytest.mark.parametrize("batch_begin", [True, False])
def test_a_loop_of_single_batches_that_calls_the_hooks(
    batch_begin: bool, model: Any, vectors: Data, zeros: Any
) -> None:
    hooks = keras.callbacks.CallbackList([ks.Sparsify(HALF)], model=model, epochs=1, steps=3)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for number in range(3):
        if batch_begin:
            hooks.on_train_batch_begin(number)
        model.train_on_batch(*vectors)
        assert sum(zeros(model).values()) == 36
        hooks.on_train_batch_end(number)
    hooks.on_epoch_end(0)
    hooks.on_train_end()
    twice(lambda: model.train_on_batch(*vectors))
    assert sum(zeros(model).values()) == 0


def test_two_in_one_fit_are_refused(model: Any, vectors: Data, is_the_users: Any) -> None:
    one = ks.Sparsify(ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0.5), match="dense1/*")]))
    two = ks.Sparsify(ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0.5), match="dense2/*")]))
    with pytest.raises(ValueError, match=r"two Sparsify callbacks in one fit of.*one Recipe"):
        model.fit(*vectors, **FIT, callbacks=[one, two])
    is_the_users(model)
    assert one.updates == two.updates == []
    model.fit(*vectors, **FIT, callbacks=[one])
    model.fit(*vectors, **FIT, callbacks=[two])


# Training that diverges


def set_one(model: Any, value: float) -> None:
    kernel = model.get_layer("dense2").kernel
    kernel.assign(np.where(np.arange(24).reshape(8, 3) == 5, value, keras.ops.convert_to_numpy(kernel)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_no_mask_is_made_of_weights_that_are_not_finite(
    scope: str, value: float, mlp: Any, vectors: Data, masked: Any
) -> None:
    """Updates at steps 0, 4 and 8; a weight breaks at step 4."""
    model = mlp()
    model.compile("sgd", "mse")
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Linear(0, 8, every=4), scope=scope)])
    sparsify = ks.Sparsify(recipe)

    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 3:
                set_one(self.model, value)

    words = r"dense2/kernel holds NaN or infinite weights at step 4; training has diverged"
    with pytest.raises(ValueError, match=words):
        model.fit(*vectors, **FIT, callbacks=[Break(), sparsify])
    assert [step for step, _ in sparsify.updates] == [0]
    assert masked(model) == []


@pytest.mark.parametrize("stop", [False, True], ids=["Keras goes on", "TerminateOnNaN"])
def test_a_loss_that_is_nan_after_the_last_update_leaves_the_mask(
    stop: bool, model: Any, vectors: Data, zeros: Any, masked: Any
) -> None:
    """What is masked stays 0, what is not is NaN, as in a plain fit; nothing hides that."""
    x = vectors[0].copy()
    x[20] = np.nan
    callbacks = [ks.Sparsify(HALF), *([keras.callbacks.TerminateOnNaN()] if stop else [])]
    history = model.fit(x, vectors[1], **FIT, epochs=2, callbacks=callbacks)
    assert len(history.history["loss"]) == (1 if stop else 2)
    assert np.isnan(history.history["loss"][0])
    assert sum(zeros(model).values()) == 36
    assert sum(int(np.isnan(kernel.matrices()).sum()) for kernel in kernels.find(model)) == 36
    assert masked(model) == []


@pytest.mark.parametrize("raise_error", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_loss_that_is_nan_within_the_ramp(
    first: bool, raise_error: bool, model: Any, vectors: Data, masked: Any
) -> None:
    """`TerminateOnNaN` ends the fit normally, and the recipe is not finished: an error, by whoever is first."""
    x = vectors[0].copy()
    x[20] = np.nan
    callbacks = [ks.Sparsify(RAMP), keras.callbacks.TerminateOnNaN(raise_error=raise_error)]
    # The batch of the NaN is the third, at which an update is due.
    names_the_layer = r"dense1/kernel holds NaN or infinite weights at step 3"
    words = "NaN or Inf loss encountered" if raise_error and first else names_the_layer
    with pytest.raises((ValueError, RuntimeError), match=words):
        model.fit(x, vectors[1], **FIT, epochs=2, callbacks=callbacks[::-1] if first else callbacks)
    assert masked(model) == []
    assert all(kernel.variable.constraint is USER for kernel in kernels.find(model))
