"""Checkpoints of models: exact, of every kind of model, and all or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks


def mlp(width: int = 8, **arguments: Any) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(width, activation="relu", name="dense1", **arguments),
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(3, name="dense2", **arguments),
        ],
        name="mlp",
    )


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.Sequential([layers.Dense(4), layers.BatchNormalization()])
        # Two layers of one name, and so four variables of two paths.
        self.twins = [layers.Dense(3, name="twin"), layers.Dense(3, name="twin")]

    def call(self, inputs: Any) -> Any:
        return sum(twin(self.inner(inputs)) for twin in self.twins)


def raw(model: keras.Model) -> list[bytes]:
    return [keras.ops.convert_to_numpy(variable).tobytes() for variable in model.variables]


def scramble(model: keras.Model, seed: int) -> keras.Model:
    """Random variables, half of them zero."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        values = rng.integers(1, 99, variable.shape) * (rng.random(variable.shape) < 0.5)
        variable.assign(values.astype(variable.dtype))
    return model


def functional() -> keras.Model:
    image = keras.Input((6, 6, 3))
    inner = keras.Sequential([keras.Input((6, 6, 3)), layers.DepthwiseConv2D(3), layers.Conv2D(4, 1)], name="inner")
    return keras.Model(image, layers.Dense(2)(layers.Flatten()(inner(image))))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, 5), np.float32))
    return model


def prepared() -> keras.Model:
    return ks.calibrate(mlp(), np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32))


def recurrent() -> keras.Model:
    return keras.Sequential([keras.Input((4, 5)), layers.Bidirectional(layers.LSTM(3, dropout=0.5)), layers.Dense(2)])


@pytest.mark.parametrize("build", [mlp, functional, subclassed, prepared, recurrent])
def test_every_kind_of_model(build: Any, tmp_path: Path) -> None:
    """Into the same model and into one that the same code built anew, which Keras numbers otherwise."""
    model, anew = scramble(build(), 1), scramble(build(), 2)
    assert raw(model) != raw(anew)
    ks.save_weights(model, tmp_path / "w.h5")
    ks.load_weights(anew, tmp_path / "w.h5")
    assert raw(anew) == raw(model)
    wanted = raw(model)
    ks.load_weights(scramble(model, 3), tmp_path / "w.h5")
    assert raw(model) == wanted


def test_twins_have_the_same_paths() -> None:
    paths = [variable.path for variable in subclassed().variables]
    assert len(set(paths)) == len(paths) - 2


def test_predictions_ranges_and_random_states(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
    model, other = ks.calibrate(mlp(), x), ks.prepare(mlp(), ks.Recipe([ks.Quantize()]))
    ks.save_weights(model, tmp_path / "w.h5")
    ks.load_weights(other, tmp_path / "w.h5")
    np.testing.assert_array_equal(model.predict(x, verbose=0), other.predict(x, verbose=0))
    assert any("seed_generator" in variable.path for variable in model.variables)
    np.testing.assert_array_equal(model(x, training=True), other(x, training=True))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "bool"])
def test_variables_of_every_dtype_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    """All patterns of two bytes: negative zeros, infinities, NaNs with their payloads, subnormal numbers."""

    class Holder(layers.Layer):
        def build(self, input_shape: Any) -> None:
            add = {"dtype": dtype, "initializer": "zeros", "trainable": False}
            self.table = self.add_weight(name="table", shape=(count,), **add)
            self.scalar = self.add_weight(name="scalar", shape=(), **add)
            self.empty = self.add_weight(name="empty", shape=(0, 3), **add)

        def call(self, inputs: Any) -> Any:
            return inputs

    as_numpy = keras.Variable([0], dtype=dtype).numpy().dtype
    patterns = np.tile(np.arange(65536, dtype=np.uint16), 8).view(np.uint8)
    values = patterns.view(bool)[:512] if dtype == "bool" else patterns.view(as_numpy)
    if dtype == "bool":
        values = (patterns[:512] & 1).astype(bool)
    count = len(values)
    model = keras.Sequential([keras.Input((2,)), Holder(name="holder")])
    holder = model.layers[0]
    holder.table.assign(values)
    holder.scalar.assign(values[-1])
    wanted = raw(model)
    assert wanted[0] == values.tobytes()
    ks.save_weights(model, tmp_path / "w.h5")
    for variable in model.variables:
        variable.assign(keras.ops.zeros_like(variable))
    ks.load_weights(model, tmp_path / "w.h5")
    assert raw(model) == wanted


@pytest.mark.parametrize(("zeros", "at_most"), [(0.0, 1.0), (0.5, 0.54), (0.9, 0.14)])
def test_size_against_keras(zeros: float, at_most: float, tmp_path: Path) -> None:
    """4 x Dense(512). Kernel bits: 32 dense, 1 + 32 x (1 - zeros) sparse: 17 of 32 at 50 %, 4.2 of 32 at 90 %."""
    model = keras.Sequential([keras.Input((512,)), *[layers.Dense(512) for _ in range(4)], layers.Dense(10)])
    rng = np.random.default_rng(0)
    for layer in model.layers:
        kept = rng.random(layer.kernel.shape) >= zeros
        layer.kernel.assign(layer.kernel.numpy() * kept.astype(np.float32) + 0.0)
    ks.save_weights(model, tmp_path / "ours.h5")
    model.save_weights(tmp_path / "theirs.weights.h5")
    assert (tmp_path / "ours.h5").stat().st_size <= at_most * (tmp_path / "theirs.weights.h5").stat().st_size


def refused(model: keras.Model, path: Path, message: str) -> None:
    before = raw(model)
    with pytest.raises(ValueError, match=message):
        ks.load_weights(model, path)
    assert raw(model) == before


def test_nothing_is_loaded_where_something_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "w.h5"
    ks.save_weights(scramble(mlp(), 1), path)
    refused(scramble(mlp(9), 2), path, r"w.h5: the model's variable 'mlp/dense1/kernel' is of shape \(6, 9\)")
    refused(scramble(mlp(use_bias=False), 2), path, r"not in the model: \['mlp/dense1/bias', 'mlp/dense2/bias'\]")
    refused(scramble(mlp(dtype="float16"), 2), path, r"kernel' is of shape .* dtype float16. Received: .*float32")
    more = mlp()
    more.add(layers.Dense(2, name="last"))
    refused(scramble(more, 2), path, r"Not in the file: \['mlp/last/bias', 'mlp/last/kernel'\]; received.*none")
    data = path.read_bytes()
    path.write_bytes(data[:-9])
    refused(scramble(mlp(), 2), path, "w.h5: an HDF5 file that is whole was required")
    at = data.index(keras.ops.convert_to_numpy(scramble(mlp(), 1).get_layer("dense2").kernel).tobytes())
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    refused(scramble(mlp(), 2), path, "variable 'mlp/dense2/kernel' is damaged")
    path.write_bytes(b"")
    refused(scramble(mlp(), 2), path, "w.h5: an HDF5 file that is whole was required")


def test_a_file_of_keras_is_not_ours(tmp_path: Path) -> None:
    model = mlp()
    model.save_weights(tmp_path / "k.weights.h5")
    refused(model, tmp_path / "k.weights.h5", "format='keras_sparse weights' and version=1 were required")


def test_what_is_not_built_or_no_model_or_no_file(tmp_path: Path) -> None:
    for call in (ks.save_weights, ks.load_weights):
        with pytest.raises(ValueError, match="'unbuilt' is not built"):
            call(keras.Sequential([layers.Dense(3)], name="unbuilt"), tmp_path / "w.h5")
        with pytest.raises(TypeError, match="model must be a Keras model"):
            call(3, tmp_path / "w.h5")
    with pytest.raises(FileNotFoundError, match="to load weights from"):
        ks.load_weights(mlp(), tmp_path / "w.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.h5"
    ks.save_weights(mlp(), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        ks.save_weights(scramble(mlp(), 1), path)
    assert [each.name for each in tmp_path.iterdir()] == ["w.h5"] and path.read_bytes() == before


def test_variables_in_another_order_are_found_by_path(tmp_path: Path) -> None:
    def build(names: tuple[str, ...]) -> keras.Model:
        x = keras.Input((4,))
        return keras.Model(x, [layers.Dense(4, name=name)(x) for name in names])

    model, other = scramble(build(("block_1", "block_2")), 1), scramble(build(("block_2", "block_1")), 2)
    ks.save_weights(model, tmp_path / "w.h5")
    ks.load_weights(other, tmp_path / "w.h5")
    for name in ("block_1", "block_2"):
        np.testing.assert_array_equal(other.get_layer(name).kernel, model.get_layer(name).kernel)


def test_numbers_of_keras_in_another_order_are_not_guessed(tmp_path: Path) -> None:
    def build(widths: tuple[int, ...]) -> keras.Model:
        x = keras.Input((4,))
        return keras.Model(x, [layers.Dense(width)(x) for width in widths] + [layers.BatchNormalization()(x)])

    def reversed_build() -> keras.Model:
        x = keras.Input((4,))
        return keras.Model(x, [layers.BatchNormalization()(x), layers.Dense(4)(x), layers.Dense(4)(x)])

    ks.save_weights(build((4, 4)), tmp_path / "w.h5")
    refused(reversed_build(), tmp_path / "w.h5", r"Not in the file: \['batch_normalization_\d+/beta'")
