"""`Sparsify` in `fit`: exact zeros after every step, logs, composition, and what it refuses."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.pattern import count
from keras_sparse.train import kernels

HALF = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0))])
RAMP = ks.Recipe([ks.Prune(ks.Unstructured(0.8), ks.Cubic(2, 12, every=3))])
SIZES = {"dense1": 48, "dense2": 24}
Data = tuple[np.ndarray, np.ndarray]


def fit(model: Any, data: Data, recipe: ks.Recipe, *callbacks: Any, optimizer: Any = "sgd", **arguments: Any) -> Any:
    """Compiles where needed and fits 2 epochs of 8 batches; returns the callback and the history."""
    if not model.compiled:
        model.compile(optimizer, "mse", **{"jit_compile": False, **arguments.pop("compile", {})})
    partial = arguments.pop("partial", False)
    sparsify = ks.Sparsify(recipe, partial=partial)
    history = model.fit(
        *data, **{"batch_size": 8, "epochs": 2, "verbose": 0, **arguments}, callbacks=[sparsify, *callbacks]
    )
    return sparsify, history


def by_layer(zeros: dict[str, int]) -> dict[str, int]:
    return {path.split("/")[-2]: number for path, number in zeros.items()}


# Exact zeros, always


def wanted_zeros(schedule: ks.Cubic, sparsity: float, step: int, size: int) -> int:
    """Zeros after `step` optimizer steps, from the published formula alone."""
    begin, end, every = schedule.begin, schedule.end, schedule.every
    if step < begin:
        return 0
    at = end if step >= end else begin + (step - begin) // every * every
    return int(np.floor(sparsity * (1 - (1 - (at - begin) / (end - begin)) ** 3) * size + 0.5))


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "weight decay": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.1),
    "averages": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True, ema_overwrite_frequency=3),
    "clipping": lambda: keras.optimizers.RMSprop(0.05, clipnorm=1.0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_zeros_are_exact_after_every_step(
    name: str, mlp: Callable[..., Any], vectors: Data, look: Any, zeros: Callable[[Any], dict[str, int]]
) -> None:
    model = mlp()
    watch = look(lambda model: by_layer(zeros(model)))
    fit(model, vectors, RAMP, watch, optimizer=OPTIMIZERS[name]())
    schedule = RAMP.prune[0].schedule
    assert isinstance(schedule, ks.Cubic)
    wanted = [
        {layer: wanted_zeros(schedule, 0.8, step, size) for layer, size in SIZES.items()} for step in range(1, 17)
    ]
    assert watch.seen == wanted
    assert by_layer(zeros(model)) == {"dense1": 38, "dense2": 19}


@pytest.mark.parametrize(
    ("steps", "jit", "recipe"),
    [(1, True, RAMP), (3, True, RAMP), (8, True, RAMP), (3, True, HALF), (1, False, RAMP), (3, False, RAMP)],
    ids=["XLA 1", "XLA 3", "XLA 8", "XLA 3 one shot", "no XLA 1", "no XLA 3"],
)
def test_several_steps_in_one_call_and_xla(
    steps: int, jit: bool, recipe: ks.Recipe, mlp: Any, vectors: Data, look: Any, zeros: Any
) -> None:
    model = mlp()
    watch = look(lambda model: (int(model.optimizer.iterations), by_layer(zeros(model))))
    sparsify, _ = fit(
        model, vectors, recipe, watch, compile={"steps_per_execution": steps, "jit_compile": jit}, optimizer="adam"
    )
    assert [step for step, _ in watch.seen] == {1: [*range(1, 17)], 3: [3, 6, 8, 11, 14, 16], 8: [8, 16]}[steps]
    prune = recipe.prune[0]
    assert isinstance(prune.pattern, ks.Unstructured)
    for step, found in watch.seen:
        at = prune.schedule.last_update(step)
        progress = 0.0 if at is None else prune.schedule.progress(at)
        assert found == {layer: count(prune.pattern.sparsity * progress, size) for layer, size in SIZES.items()}
    assert by_layer(zeros(model)) == {layer: count(prune.pattern.sparsity, size) for layer, size in SIZES.items()}
    assert sparsify.updates[-1][1] == pytest.approx(
        {f"{model.name}/{layer}/kernel": count(prune.pattern.sparsity, size) / size for layer, size in SIZES.items()}
    )


@pytest.mark.parametrize("steps", [1, 4])
def test_every_checkpoint_is_sparse(steps: int, mlp: Any, vectors: Data, tmp_path: Path, zeros: Any) -> None:
    """TFMOT's are dense between the application of its masks and the end of the epoch."""
    model = mlp()
    file = str(tmp_path / "{epoch}-{batch}.keras")
    fit(
        model,
        vectors,
        HALF,
        keras.callbacks.ModelCheckpoint(file, save_freq=1),
        optimizer=keras.optimizers.Adam(0.05),
        compile={"steps_per_execution": steps},
        epochs=1,
    )
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8 // steps
    for each in files:
        assert by_layer(zeros(keras.models.load_model(each))) == {"dense1": 24, "dense2": 12}


def test_weight_files_are_sparse(mlp: Any, vectors: Data, tmp_path: Path, zeros: Any) -> None:
    file = str(tmp_path / "{epoch}.weights.h5")
    fit(mlp(), vectors, HALF, keras.callbacks.ModelCheckpoint(file, save_weights_only=True), optimizer="adam")
    for each in sorted(tmp_path.iterdir()):
        model = mlp()
        model.load_weights(each)
        assert by_layer(zeros(model)) == {"dense1": 24, "dense2": 12}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float16", "float64"])
def test_precisions(policy: str, mlp: Any, vectors: Data, look: Any, zeros: Any) -> None:
    keras.config.set_dtype_policy(policy)
    model = mlp()
    watch = look(zeros)
    fit(model, vectors, HALF, watch, optimizer=keras.optimizers.SGD(0.01, momentum=0.9))
    assert all(by_layer(each) == {"dense1": 24, "dense2": 12} for each in watch.seen)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("every", [2, 3])
def test_accumulated_gradients(policy: str, every: int, mlp: Any, vectors: Data, look: Any, zeros: Any) -> None:
    """A fraction is one of the optimizer's steps, which are fewer than batches; loss scaling hides the optimizer."""
    keras.config.set_dtype_policy(policy)
    model = mlp()
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Linear(0.0, 0.5, every=1))])
    watch = look(lambda model: (int(model.optimizer.iterations), sum(zeros(model).values())))
    sparsify, _ = fit(
        model, vectors, recipe, watch, optimizer=keras.optimizers.SGD(0.01, gradient_accumulation_steps=every)
    )
    end = round(16 // every * 0.5)
    assert [step for step, _ in sparsify.updates] == list(range(end + 1))
    for step, found in watch.seen:
        each = min(step / end, 1) * 0.5
        assert found == count(each, 48) + count(each, 24)


def test_skipped_steps_do_not_leave_the_target_missed(mlp: Any, vectors: Data, zeros: Any) -> None:
    """Loss scaling skips a step whose gradients overflow: the optimizer then counts fewer steps than the fit makes."""
    keras.config.set_dtype_policy("mixed_float16")
    model = mlp()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=2.0**22)
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0.0, 1.0, every=1))])
    fit(model, vectors, recipe, optimizer=optimizer)
    assert int(optimizer.iterations) < 16
    assert by_layer(zeros(model)) == {"dense1": 24, "dense2": 12}


@pytest.mark.parametrize("overwrite", [None, 5])
def test_averaged_weights_are_sparse_at_the_end(overwrite: int | None, mlp: Any, vectors: Data, zeros: Any) -> None:
    model = mlp()
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=overwrite)
    fit(model, vectors, RAMP, optimizer=optimizer)
    assert by_layer(zeros(model)) == {"dense1": 38, "dense2": 19}


def test_averages_swapped_in_for_an_epochs_checkpoint_are_sparse(
    mlp: Any, vectors: Data, zeros: Any, tmp_path: Path
) -> None:
    model = mlp()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True), "mse")
    model.fit(
        *vectors,
        batch_size=8,
        epochs=2,
        verbose=0,
        callbacks=[
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            ks.Sparsify(HALF),
            keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        ],
    )
    for each in tmp_path.iterdir():
        assert by_layer(zeros(keras.models.load_model(each))) == {"dense1": 24, "dense2": 12}


# Any model, any layer


class Subclassed(keras.Model):
    """Two blocks, one of them called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(6, activation="relu", name="first")
        self.inner = keras.Sequential([layers.Dense(6, name="inner")])
        self.last = layers.Dense(3, name="last")

    def call(self, x: Any) -> Any:
        return self.last(self.inner(self.inner(self.first(x))))


class OwnStep(Subclassed):
    """A training step of the user's own."""

    def train_step(self, data: Any) -> Any:
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


def functional_nested() -> Any:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, name="deep")], name="inner")
    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(3, name="last")(inner(inputs)))


def shared() -> Any:
    inputs, layer = keras.Input((6,)), layers.Dense(6, name="shared")
    return keras.Model(inputs, layers.Dense(3, name="last")(layer(layer(inputs))))


def not_built() -> Any:
    return keras.Sequential([layers.Dense(6, name="first"), layers.Dense(3, name="last")])


@pytest.mark.parametrize("make", [Subclassed, OwnStep, functional_nested, shared, not_built])
def test_every_kind_of_model(make: Callable[[], Any], vectors: Data, look: Any, zeros: Any, masked: Any) -> None:
    model = make()
    watch = look(zeros)
    fit(model, vectors, HALF, watch, optimizer="adam")
    sizes = {kernel.path: kernel.variable.shape.num_elements() for kernel in kernels.find(model)}
    assert len(sizes) >= 2
    assert watch.seen == [{path: size // 2 for path, size in sizes.items()}] * 16
    assert masked(model) == []


LAYERS: dict[str, tuple[tuple[int, ...], Callable[[Any], Any]]] = {
    "Conv1D": ((7, 3), lambda x: layers.Conv1D(5, 3)(x)),
    "Conv2D": ((5, 5, 3), lambda x: layers.Conv2D(5, 3)(x)),
    "Conv3D": ((3, 4, 4, 2), lambda x: layers.Conv3D(3, 2)(x)),
    "Conv1DTranspose": ((4, 3), lambda x: layers.Conv1DTranspose(5, 3)(x)),
    "Conv2DTranspose": ((3, 3, 3), lambda x: layers.Conv2DTranspose(5, 3)(x)),
    "Conv3DTranspose": ((2, 2, 2, 3), lambda x: layers.Conv3DTranspose(3, 2)(x)),
    "DepthwiseConv1D": ((7, 3), lambda x: layers.DepthwiseConv1D(3, depth_multiplier=2)(x)),
    "DepthwiseConv2D": ((5, 5, 3), lambda x: layers.DepthwiseConv2D(3, depth_multiplier=3)(x)),
    "SeparableConv1D": ((7, 3), lambda x: layers.SeparableConv1D(5, 3)(x)),
    "SeparableConv2D": ((5, 5, 3), lambda x: layers.SeparableConv2D(5, 3)(x)),
    "LSTM": ((4, 3), lambda x: layers.LSTM(4)(x)),
    "GRU": ((4, 3), lambda x: layers.GRU(3)(x)),
    "Bidirectional": ((4, 3), lambda x: layers.Bidirectional(layers.SimpleRNN(4))(x)),
    "ConvLSTM1D": ((3, 4, 2), lambda x: layers.ConvLSTM1D(2, 2)(x)),
    "MultiHeadAttention": ((4, 5), lambda x: layers.MultiHeadAttention(2, 3)(x, x)),
    "EinsumDense": ((4, 5), lambda x: layers.EinsumDense("abc,cd->abd", (4, 7))(x)),
    "TimeDistributed": ((4, 5), lambda x: layers.TimeDistributed(layers.Dense(3))(x)),
}
PATTERNS = [ks.Block((2, 3), 0.5), ks.Unstructured(0.7), ks.NofM(1, 4)]
OF_EVERY_PATTERN = ("Conv2D", "DepthwiseConv2D", "LSTM")


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_and_pattern(name: str, look: Any) -> None:
    """Each pattern holds on the deployed layout, odd sizes included, after each step: blocks of both axes for all."""
    shape, call = LAYERS[name]
    rng = np.random.default_rng(0)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layers.Dense(1, name="end")(layers.Flatten()(call(inputs))))
    x, y = rng.normal(size=(4, *shape)).astype(np.float32), rng.normal(size=(4, 1)).astype(np.float32)
    for pattern in PATTERNS if name in OF_EVERY_PATTERN else PATTERNS[:1]:
        masks = {k.path: pattern.mask(np.abs(k.matrices()), 1.0) for k in kernels.find(model)}
        watch = look(lambda model: {k.path: k.matrices() for k in kernels.find(model)})
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", jit_compile=False)
        fit(model, (x, y), ks.Recipe([ks.Prune(pattern, ks.OneShot(0))]), watch, batch_size=2, epochs=1)
        for matrices in watch.seen:
            for path, mask in masks.items():
                assert pattern.violation(matrices[path]) is None
                np.testing.assert_array_equal(matrices[path] != 0, mask)
        for kernel in kernels.find(model):  # dense again, for the next pattern
            kernel.variable.assign(rng.normal(size=kernel.variable.shape))


def test_n_of_m_ramps_in_training(mlp: Any, vectors: Data, look: Any) -> None:
    model = mlp()
    recipe = ks.Recipe([ks.Prune(ks.NofM(1, 4), ks.Linear(0, 9, every=3), match="dense2/kernel")])
    watch = look(lambda model: np.unique(np.count_nonzero(kernels.find(model)[1].matrices().reshape(-1, 4), axis=1)))
    fit(model, vectors, recipe, watch)
    assert [each.tolist() for each in watch.seen] == [[4]] * 2 + [[3]] * 3 + [[2]] * 3 + [[1]] * 8


# Rules


def test_the_first_rule_that_matches_has_the_kernel(mlp: Any, vectors: Data, zeros: Any) -> None:
    model = mlp()
    recipe = ks.Recipe(
        [
            ks.Prune(ks.Unstructured(0.25), ks.OneShot(0), match="dense2/*"),
            ks.Prune(ks.Unstructured(0.75), ks.OneShot(0)),
        ]
    )
    sparsify, history = fit(model, vectors, recipe)
    assert by_layer(zeros(model)) == {"dense1": 36, "dense2": 6}
    assert history.history["sparsity"] == [42 / 72] * 2
    assert sparsify.updates == [(0, {f"{model.name}/dense1/kernel": 0.75, f"{model.name}/dense2/kernel": 0.25})]


def test_what_no_rule_matches_stays_dense(mlp: Any, vectors: Data, zeros: Any) -> None:
    model = mlp()
    fit(model, vectors, ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0), match="dense1/kernel")]))
    assert by_layer(zeros(model)) == {"dense1": 24, "dense2": 0}


def test_one_ranking_over_all_layers(mlp: Any, vectors: Data, zeros: Any, look: Any) -> None:
    model = mlp()
    model.get_layer("dense2").kernel.assign(model.get_layer("dense2").kernel * 100)
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Linear(0, 8, every=2), scope="global")])
    watch = look(lambda model: sum(zeros(model).values()))
    fit(model, vectors, recipe, watch, optimizer=keras.optimizers.SGD(1e-4))
    assert watch.seen == [0, *[count(0.5 * step / 8, 72) for step in (2, 2, 4, 4, 6, 6, 8)], *[36] * 8]
    assert by_layer(zeros(model)) == {"dense1": 36, "dense2": 0}


def test_the_lowest_magnitudes_go_ties_by_index(mlp: Any, vectors: Data) -> None:
    model = mlp()
    kernel = model.get_layer("dense2").kernel
    kernel.assign(np.ones(kernel.shape))
    fit(model, vectors, HALF, optimizer=keras.optimizers.SGD(0.0))
    # As the runtime stores it, (out, in): the first half of the rows.
    assert np.transpose(kernel.numpy()).tolist() == [[0] * 8, [0] * 4 + [1] * 4, [1] * 8]


def test_constant_keeps_the_zeros_that_are_there(mlp: Any, vectors: Data, look: Any) -> None:
    model = mlp()
    kernel = model.get_layer("dense1").kernel
    mask = np.random.default_rng(3).random(kernel.shape) < 0.4
    kernel.assign(kernel * mask)
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Constant(), match="dense1/kernel")])
    watch = look(lambda model: model.get_layer("dense1").kernel.numpy() != 0)
    _, history = fit(model, vectors, recipe, watch, optimizer="adam")
    assert len(watch.seen) == 16
    for each in watch.seen:
        np.testing.assert_array_equal(each, mask)
    assert history.history["sparsity"] == [1 - mask.mean()] * 2


def test_constant_refuses_what_is_not_sparse_enough(mlp: Any, vectors: Data, masked: Any) -> None:
    model = mlp()
    for pattern in (ks.Unstructured(0.5), ks.NofM(2, 4), ks.Block((1, 4), 0.5)):
        with pytest.raises(ValueError, match=r"dense1/kernel: Constant\(\) keeps the zeros.*Prune first") as caught:
            fit(model, vectors, ks.Recipe([ks.Prune(pattern, ks.Constant())]))
        assert str(pattern) in str(caught.value)
        assert masked(model) == []


@pytest.mark.parametrize("how", ["layer", "variable"])
def test_frozen_weights_are_left_alone(how: str, mlp: Any, vectors: Data, zeros: Any) -> None:
    model = mlp()
    frozen = model.get_layer("dense1")
    (frozen if how == "layer" else frozen.kernel).trainable = False
    before = frozen.kernel.numpy()
    fit(model, vectors, HALF)
    np.testing.assert_array_equal(frozen.kernel.numpy(), before)
    assert by_layer(zeros(model)) == {"dense1": 0, "dense2": 12}


# What else is in the model, before and after


class Halve(keras.constraints.Constraint):
    """A constraint of the user's that keeps weights within a half."""

    def __call__(self, w: Any) -> Any:
        return keras.ops.clip(w, -0.5, 0.5)


def test_the_users_constraints_hold_and_are_given_back(mlp: Any, vectors: Data, look: Any, zeros: Any) -> None:
    user = Halve()
    model = mlp(kernel_constraint=user)
    watch = look(lambda model: (by_layer(zeros(model)), np.abs(model.get_layer("dense1").kernel.numpy()).max()))
    fit(model, vectors, HALF, watch, optimizer=keras.optimizers.SGD(1.0))
    assert all(found == {"dense1": 24, "dense2": 12} and peak <= 0.5 for found, peak in watch.seen)
    assert any(peak == 0.5 for _, peak in watch.seen)
    assert model.get_layer("dense1").kernel.constraint is user
    model.fit(*vectors, verbose=0)  # traced again: the mask is gone, the user's constraint is not
    assert by_layer(zeros(model)) == {"dense1": 0, "dense2": 0}
    assert np.abs(model.get_layer("dense1").kernel.numpy()).max() <= 0.5


def test_a_model_trained_before_is_traced_again(mlp: Any, vectors: Data, look: Any, zeros: Any) -> None:
    model = mlp()
    model.compile("adam", "mse")
    model.fit(*vectors, batch_size=8, verbose=0)
    watch = look(zeros)
    fit(model, vectors, ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(8))]), watch, epochs=1)
    assert all(by_layer(each) == {"dense1": 24, "dense2": 12} for each in watch.seen)
    model.fit(*vectors, batch_size=8, verbose=0)
    assert by_layer(zeros(model)) == {"dense1": 0, "dense2": 0}


def test_one_fit_after_another(mlp: Any, vectors: Data, look: Any, zeros: Any) -> None:
    """The same callback object may be used again; fractions are those of each fit."""
    model = mlp()
    model.compile("adam", "mse")
    sparsify = ks.Sparsify(ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0.5))]))
    model.fit(*vectors, batch_size=8, verbose=0, callbacks=[sparsify])
    assert [step for step, _ in sparsify.updates] == [4]
    for layer in ("dense1", "dense2"):
        model.get_layer(layer).kernel.assign(np.random.normal(size=model.get_layer(layer).kernel.shape))
    model.fit(*vectors, batch_size=8, verbose=0, callbacks=[sparsify])
    assert [step for step, _ in sparsify.updates] == [12]
    assert by_layer(zeros(model)) == {"dense1": 24, "dense2": 12}


def test_training_is_the_same_as_with_a_mask_by_hand(mlp: Any, vectors: Data) -> None:
    """Nothing but the mask: an oracle of plain SGD steps, each followed by a product with the mask."""
    model, twin = mlp(), mlp()
    twin.set_weights(model.get_weights())
    fit(model, vectors, HALF, optimizer=keras.optimizers.SGD(0.1), epochs=1, shuffle=False)
    masks = []
    for kernel in kernels.find(twin):
        mask = kernel.layout.from_matrices(
            ks.Unstructured(0.5).mask(np.abs(kernel.matrices()), 1.0), tuple(kernel.variable.shape)
        )
        masks.append((kernel.variable, mask))
        kernel.variable.assign(kernel.variable * mask)
    twin.compile(keras.optimizers.SGD(0.1), "mse")
    for batch in range(8):
        twin.train_on_batch(*(each[batch * 8 : batch * 8 + 8] for each in vectors))
        for variable, mask in masks:
            variable.assign(variable * mask)
    for ours, theirs in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# Logs


def test_logs(mlp: Any, vectors: Data, tmp_path: Path) -> None:
    seen = []

    class Batches(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append((logs or {}).get("sparsity"))

    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Linear(0, 12, every=6))])
    _, history = fit(
        mlp(), vectors, recipe, Batches(), keras.callbacks.CSVLogger(tmp_path / "log.csv"), validation_data=vectors
    )
    assert history.history["sparsity"] == [0.25, 0.5]
    assert seen == [None] * 5 + [0.25] + [None] * 5 + [0.5] + [None] * 4
    with (tmp_path / "log.csv").open() as file:
        assert [float(row["sparsity"]) for row in csv.DictReader(file)] == [0.25, 0.5]


def test_tensorboard(mlp: Any, vectors: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = importlib.import_module("tensorflow.summary")
    written = []  # tf.summary.scalar wants TensorBoard itself to be installed
    monkeypatch.setattr(summary, "scalar", lambda name, value, step=None: written.append((name, step, value)))
    fit(mlp(), vectors, HALF, keras.callbacks.TensorBoard(tmp_path, write_graph=False))
    assert [each for each in written if each[0] == "epoch_sparsity"] == [
        ("epoch_sparsity", 0, 0.5),
        ("epoch_sparsity", 1, 0.5),
    ]


def test_updates_are_recorded(mlp: Any, vectors: Data) -> None:
    sparsify, _ = fit(mlp(), vectors, RAMP)
    assert [step for step, _ in sparsify.updates] == [2, 5, 8, 11, 12]
    last = sparsify.updates[-1][1]
    assert sorted(last.values()) == [38 / 48, 19 / 24]


def test_quantization_alone_logs_no_sparsity(mlp: Any, vectors: Data) -> None:
    recipe = ks.Recipe([ks.Quantize()])
    _, history = fit(ks.prepare(mlp(), recipe), vectors, recipe)
    assert set(history.history) == {"loss"}


# Lengths of a fit


def batches(data: Data, forever: bool = True) -> Iterator[Data]:
    while True:
        for start in range(0, 64, 8):
            yield data[0][start : start + 8], data[1][start : start + 8]
        if not forever:
            return


def test_fractions_need_the_steps_of_a_generator(mlp: Any, vectors: Data, masked: Any, zeros: Any) -> None:
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0.0, 0.5, every=1))])
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"0\.5 is a fraction of the fit.*steps_per_epoch"):
        model.fit(batches(vectors, forever=False), verbose=0, callbacks=[ks.Sparsify(recipe)])
    assert masked(model) == []
    sparsify = ks.Sparsify(recipe)
    model.fit(batches(vectors), steps_per_epoch=5, epochs=2, verbose=0, callbacks=[sparsify])
    assert sparsify.updates[-1][0] == 5
    assert sum(zeros(model).values()) == 36


def test_the_start_of_the_fit_is_known_with_a_generator(mlp: Any, vectors: Data, ranges: Any) -> None:
    recipe = ks.Recipe([ks.Quantize()])
    model = ks.prepare(mlp(), recipe)
    model.compile("sgd", "mse")
    model.fit(batches(vectors, forever=False), verbose=0, callbacks=[ks.Sparsify(recipe)])
    assert all(low < high for low, high in ranges(model).values())


def test_steps_need_nothing(mlp: Any, vectors: Data, zeros: Any) -> None:
    model = mlp()
    model.compile("sgd", "mse")
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0, 8, every=3))])
    model.fit(batches(vectors, forever=False), verbose=0, callbacks=[ks.Sparsify(recipe)])
    assert sum(zeros(model).values()) == 36


def test_a_generator_that_ends_early_is_noticed(mlp: Any, vectors: Data) -> None:
    model = mlp()
    model.compile("sgd", "mse")
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0, 20, every=3))])
    with pytest.raises(ValueError, match=r"was not finished.*ended at optimizer step.*last update is at step 20"):
        model.fit(batches(vectors, forever=False), verbose=0, callbacks=[ks.Sparsify(recipe)])


@pytest.mark.parametrize("end", [1.0, 16])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_last_step_of_the_fit_may_be_the_last_update(
    end: int | float, steps: int, mlp: Any, vectors: Data, zeros: Any
) -> None:
    model = mlp()
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0, end, every=100))])
    fit(model, vectors, recipe, compile={"steps_per_execution": steps})
    assert by_layer(zeros(model)) == {"dense1": 24, "dense2": 12}


def test_a_short_last_batch_counts(mlp: Any, vectors: Data) -> None:
    data = vectors[0][:61], vectors[1][:61]
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(1.0))])
    sparsify, _ = fit(mlp(), data, recipe)
    assert [step for step, _ in sparsify.updates] == [16]


def test_a_fit_of_no_epochs_does_nothing(mlp: Any, vectors: Data, masked: Any) -> None:
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0.5)), ks.Quantize(begin=0.5)])
    model = ks.prepare(mlp(), recipe)
    fit(model, vectors, recipe, epochs=2, initial_epoch=2)
    assert masked(model) == []


def test_a_backup_is_restored(mlp: Any, vectors: Data, tmp_path: Path, zeros: Any, look: Any) -> None:
    """BackupAndRestore sets weights, the optimizer's steps and the first epoch when training begins."""

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0.0, 0.75, every=1))])
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)
    with pytest.raises(KeyboardInterrupt):
        fit(mlp(), vectors, recipe, backup, Crash())
    model = mlp()
    watch = look(lambda model: int(model.optimizer.iterations))
    sparsify, _ = fit(model, vectors, recipe, backup, watch)
    assert watch.seen == list(range(9, 17))
    assert [step for step, _ in sparsify.updates] == [8, 9, 10, 11, 12]
    assert by_layer(zeros(model)) == {"dense1": 24, "dense2": 12}


# What is refused, loudly and before the fit where that can be known


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            [ks.Prune(ks.Unstructured(0.5), ks.OneShot(0), match="conv*")],
            r"match='conv\*'.*no trainable kernel.*dense1",
        ),
        ([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0), match="dense1/bias")], "no trainable kernel"),
        (
            [
                ks.Prune(ks.Unstructured(0.5), ks.OneShot(0)),
                ks.Prune(ks.Unstructured(0.5), ks.OneShot(0), match="dense1/kernel"),
            ],
            "only kernels of rules before it",
        ),
        ([ks.Quantize()], r"no layer of .* is wrapped.*ks\.prepare"),
        ([ks.Prune(ks.Unstructured(0.5), ks.OneShot(17))], r"needs optimizer step 17.*ends at step 16.*partial=True"),
        ([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0, 1000))], r"needs optimizer step 1000.*ends at step 16"),
        ([ks.Prune(ks.Unstructured(0.5), ks.Cubic(12, 0.5))], "begin must not come after end"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_refused_before_training(
    rules: list[Any], words: str, mlp: Any, vectors: Data, masked: Any
) -> None:
    model = mlp()
    before = model.get_weights()
    with pytest.raises(ValueError, match=words):
        fit(model, vectors, ks.Recipe(rules))
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert masked(model) == []
    model.fit(*vectors, verbose=0)


def test_frozen_layers_are_named_as_missing(mlp: Any, vectors: Data) -> None:
    model = mlp()
    model.get_layer("dense1").trainable = False
    with pytest.raises(ValueError, match=r"no trainable kernel. Trainable kernels.*dense2"):
        fit(model, vectors, ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0), match="dense1/*")]))


@pytest.mark.parametrize("begin", [16, 1.0, 17])
def test_quantization_that_no_batch_would_see_is_refused(begin: int | float, mlp: Any, vectors: Data) -> None:
    recipe = ks.Recipe([ks.Quantize(begin=begin)])
    with pytest.raises(ValueError, match=r"begins at optimizer step 1[67].*no batch would pass"):
        fit(ks.prepare(mlp(), recipe), vectors, recipe)


@pytest.mark.parametrize("stop", [(0, None), (0, 3), (1, 2)])
def test_a_target_missed_by_stopping_early_is_an_error(
    stop: tuple[int, int | None], mlp: Any, vectors: Data, stop_after: Any, masked: Any
) -> None:
    model = mlp()
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0.0, 1.0, every=2))])
    with pytest.raises(ValueError, match=r"was not finished: training ended at optimizer step .*partial=True"):
        fit(model, vectors, recipe, stop_after(*stop))
    assert masked(model) == []


def test_stopping_early_after_the_target_is_fine(mlp: Any, vectors: Data, stop_after: Any, zeros: Any) -> None:
    model = mlp()
    fit(model, vectors, RAMP, stop_after(1, 5))
    assert by_layer(zeros(model)) == {"dense1": 38, "dense2": 19}


def test_quantization_missed_by_stopping_early_is_an_error(mlp: Any, vectors: Data, stop_after: Any) -> None:
    recipe = ks.Recipe([ks.Quantize(begin=0.75)])
    with pytest.raises(ValueError, match=r"was never switched on.*step 8.*begins at step 12"):
        fit(ks.prepare(mlp(), recipe), vectors, recipe, stop_after(0))


def test_a_part_of_a_longer_run_may_end_early(mlp: Any, vectors: Data, stop_after: Any, zeros: Any) -> None:
    model = mlp()
    fit(model, vectors, ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Linear(0, 64, every=8))]), partial=True)
    assert sum(zeros(model).values()) == count(0.125, 48) + count(0.125, 24)


def test_the_best_weights_restored_before_it_are_sparse(mlp: Any, vectors: Data, zeros: Any) -> None:
    """EarlyStopping brings back the weights of an earlier epoch; put before Sparsify, it cannot undo the target."""

    class Worse(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["worse"] = epoch

    model = mlp()
    model.compile("adam", "mse")
    stop = keras.callbacks.EarlyStopping("worse", mode="min", patience=5, restore_best_weights=True)
    model.fit(*vectors, batch_size=8, epochs=2, verbose=0, callbacks=[Worse(), stop, ks.Sparsify(RAMP)])
    assert by_layer(zeros(model)) == {"dense1": 38, "dense2": 19}


def test_weights_that_are_not_numbers_are_an_error_and_the_constraints_are_given_back(
    mlp: Any, vectors: Data, masked: Any
) -> None:
    model = mlp(kernel_constraint=Halve())
    with pytest.raises(ValueError, match=r"dense[12]/kernel holds NaN or infinite weights at step 2.*diverged"):
        fit(model, vectors, RAMP, optimizer=keras.optimizers.SGD(float("nan")))
    assert masked(model) == []
    assert isinstance(model.get_layer("dense1").kernel.constraint, Halve)


def test_a_first_epoch_that_the_optimizer_has_not_seen_is_an_error(mlp: Any, vectors: Data, masked: Any) -> None:
    """As after loading weights without the optimizer: fractions would all lie in the past."""
    model = mlp()
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0.25))])
    with pytest.raises(ValueError, match=r"0\.25 is a fraction.*8 steps fewer.*initial_epoch"):
        fit(model, vectors, recipe, initial_epoch=1)
    assert masked(model) == []


def test_an_update_in_the_past_that_was_not_made_is_an_error(mlp: Any, vectors: Data, masked: Any) -> None:
    model = mlp()
    model.compile("sgd", "mse")
    model.fit(*vectors, batch_size=8, verbose=0)
    with pytest.raises(ValueError, match=r"dense1/kernel: the update of step 3 lies before this fit.*24 weights"):
        fit(model, vectors, ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(3))]))
    assert masked(model) == []


def test_only_a_recipe_is_taken() -> None:
    with pytest.raises(TypeError, match="recipe must be a Recipe"):
        ks.Sparsify([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0))])


# Quantization: when


def test_quantization_is_switched_on_at_its_step_and_ranges_freeze(mlp: Any, vectors: Data, look: Any) -> None:
    from keras_sparse.train.ranges import ActivationRange
    from keras_sparse.train.wrapper import QuantizedWeights

    recipe = ks.Recipe([ks.Quantize(begin=4, freeze=10)])
    model = ks.prepare(mlp(), recipe)
    wrappers = [each for each in kernels.walk(model) if isinstance(each, QuantizedWeights)]
    learned = [each for each in kernels.walk(model) if isinstance(each, ActivationRange)]
    watch = look(
        lambda model: (
            {float(each.active) for each in (*wrappers, *learned)},
            {float(each.learning) for each in learned},
            [float(keras.ops.max(each.batches)) for each in learned],
            [tuple(float(limit) for limit in each.limits()) for each in learned],
        )
    )
    fit(model, vectors, recipe, watch, optimizer=keras.optimizers.SGD(0.1))
    active, learning, counted, limits = zip(*watch.seen, strict=True)
    assert active == ({0.0},) * 3 + ({1.0},) * 13
    assert learning == ({0.0},) * 3 + ({1.0},) * 6 + ({0.0},) * 7
    assert [each[0] for each in counted] == [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6, 6]
    assert len({tuple(each) for each in limits[9:]}) == 1  # frozen
    assert len({tuple(each) for each in limits[4:10]}) == 6  # learned


def test_both_rules_at_once(mlp: Any, vectors: Data, look: Any, zeros: Any) -> None:
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.8), ks.Cubic(0.0, 0.5, every=2)), ks.Quantize(begin=0.5)])
    model = ks.prepare(mlp(), recipe)
    watch = look(zeros)
    fit(model, vectors, recipe, watch, optimizer="adam", compile={"jit_compile": True})
    assert all(by_layer(each) == {"dense1": 38, "dense2": 19} for each in watch.seen[7:])
    plain = ks.strip(model)
    assert by_layer(zeros(plain)) == {"dense1": 38, "dense2": 19}
