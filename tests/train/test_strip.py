"""Back to a plain model: nothing of ours but fixed ranges, weights on their grid, the same predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse import int8
from keras_sparse.train import kernels
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.strip import FixedRange, fixed_ranges, stripped
from keras_sparse.train.wrapper import QuantizedWeights

BOTH = ks.Recipe([ks.Prune(ks.Unstructured(0.75), ks.OneShot(0)), ks.Quantize()])
MODELS = ["cnn", "residual", "mlp"]


@pytest.fixture(params=MODELS)
def prepared(request: pytest.FixtureRequest, trained: Any, vectors: Any, images: Any) -> tuple[Any, np.ndarray]:
    """A model trained with zeros and int8, and inputs for it."""
    x, y = vectors if request.param == "mlp" else images
    return trained(request.getfixturevalue(request.param)(), BOTH, x, y), x


def test_only_fixed_ranges_are_left(prepared: tuple[Any, np.ndarray]) -> None:
    plain = ks.strip(prepared[0])
    assert not [each for each in kernels.walk(plain) if isinstance(each, QuantizedWeights | ActivationRange)]
    assert fixed_ranges(plain)
    ours = [type(each) for each in plain.layers if type(each).__module__.startswith("keras_sparse.")]
    assert set(ours) == {FixedRange}


def test_predictions_are_those_of_the_prepared_model(prepared: tuple[Any, np.ndarray]) -> None:
    model, x = prepared
    plain = ks.strip(model)
    wide = np.concatenate([x, 3 * x])  # beyond the ranges too
    np.testing.assert_allclose(plain.predict(wide, verbose=0), model.predict(wide, verbose=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain(wide), model(wide), rtol=1e-5, atol=1e-6)


def test_kernels_are_on_the_int8_grid_with_the_same_zeros(prepared: tuple[Any, np.ndarray]) -> None:
    model, _ = prepared
    trained_kernels = {kernel.layer.name: kernel for kernel in kernels.find(model)}
    parts = stripped(model)
    assert {tensor.name.split("/")[-2] for tensor in parts.tensors} == set(trained_kernels)
    for kernel, tensor in zip(kernels.find(parts.model), parts.tensors, strict=True):
        before = trained_kernels[kernel.layer.name].variable.numpy()
        values = kernel.variable.numpy()
        np.testing.assert_array_equal(values == 0, before == 0)
        assert np.count_nonzero(values == 0) == tensor.zeros == int(0.75 * values.size + 0.5)
        scale = int8.weight_scale(before, kernel.layout.channel_axes)
        np.testing.assert_array_equal(values, int8.quantize_weights(before, scale).astype(np.float32) * scale)
        assert tensor.values.dtype == np.int8
        np.testing.assert_allclose(tensor.dense(), values, rtol=1e-6)


def test_the_prepared_model_is_not_changed(prepared: tuple[Any, np.ndarray]) -> None:
    model, x = prepared
    before, predictions = model.get_weights(), model.predict(x, verbose=0)
    ks.strip(model)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(model.predict(x, verbose=0), predictions)


def test_a_stripped_model_is_saved_and_loaded(prepared: tuple[Any, np.ndarray], tmp_path: Path) -> None:
    model, x = prepared
    plain = ks.strip(model)
    plain.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), plain.predict(x, verbose=0))
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in plain.layers]
    parts, again = stripped(plain), stripped(loaded)
    for ours, theirs in zip(again.tensors, parts.tensors, strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)


def test_stripped_twice_is_stripped_once(prepared: tuple[Any, np.ndarray]) -> None:
    plain = ks.strip(prepared[0])
    assert ks.strip(plain) is plain


def test_a_model_that_was_never_prepared_is_returned_as_it_is(mlp: Any) -> None:
    model = mlp()
    assert ks.strip(model) is model
    parts = stripped(model)
    assert all(tensor.scale is None for tensor in parts.tensors)
    np.testing.assert_array_equal(parts.tensors[0].dense(), model.get_layer("dense1").kernel.numpy())


def test_a_model_that_was_never_switched_on_is_the_float_model(mlp: Any, vectors: Any) -> None:
    model = mlp()
    plain = ks.strip(ks.prepare(model, ks.Recipe([ks.Quantize()])))
    np.testing.assert_array_equal(plain(vectors[0]), model(vectors[0]))
    assert not fixed_ranges(plain)
    for ours, theirs in zip(plain.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert all(tensor.scale is None for tensor in stripped(plain).tensors)


def test_ranges_that_have_seen_nothing_are_an_error(mlp: Any) -> None:
    model = ks.prepare(mlp(), ks.Recipe([ks.Quantize()]))
    for layer in kernels.walk(model):
        if isinstance(layer, QuantizedWeights | ActivationRange):
            layer.active.assign(1.0)
    with pytest.raises(ValueError, match=r"range of '.*_range' is not known.*Train some steps"):
        ks.strip(model)


def test_layers_and_paths_are_those_of_the_model(cnn: Any, trained: Any) -> None:
    model = cnn()
    plain = ks.strip(trained(model))
    for layer in model.layers:
        again = plain.get_layer(layer.name)
        assert type(again) is type(layer)
        if layer.name != "head":
            config, wanted = again.get_config(), layer.get_config()
            assert config == wanted
    ours = [kernel.path.split("/")[-2:] for kernel in kernels.find(plain)]
    assert ours == [kernel.path.split("/")[-2:] for kernel in kernels.find(model)]
    statistics = plain.get_layer("entry_bn").moving_mean.numpy()
    assert np.abs(statistics).max() > 0  # those of training, not those of a new layer


def test_float_layers_are_not_rounded(cnn: Any, trained: Any, images: Any) -> None:
    model = trained(cnn(), ks.Recipe([ks.Quantize(match="pointwise/*")]))
    parts = stripped(model)
    by_layer = {kernel.layer.name: kernel for kernel in kernels.find(parts.model)}
    np.testing.assert_array_equal(by_layer["entry"].variable.numpy(), model.get_layer("entry").kernel.numpy())
    dtypes = {tensor.name.split("/")[-2]: tensor.values.dtype for tensor in parts.tensors}
    assert dtypes == {"entry": np.float32, "depthwise": np.float32, "pointwise": np.int8, "head": np.float32}
    np.testing.assert_allclose(
        parts.model.predict(images[0], verbose=0), model.predict(images[0], verbose=0), rtol=1e-5, atol=1e-6
    )


def test_a_float_kernel_that_lies_on_a_grid_by_chance_is_float(trained: Any, images: Any) -> None:
    """One weight in each channel always does; so does a kernel of zeros."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.DepthwiseConv2D(1, name="single"),
            layers.Conv2D(2, 1, kernel_initializer="zeros", trainable=False, name="dead"),
            layers.Flatten(),
            layers.Dense(3, name="head"),
        ]
    )
    parts = stripped(trained(model, ks.Recipe([ks.Quantize(match="head/*")])))
    assert [tensor.values.dtype for tensor in parts.tensors] == [np.float32, np.float32, np.int8]
    assert set(parts.float_layers) == {"single", "dead"}


def test_a_shared_layer_stays_shared(trained: Any) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    dense = layers.Dense(4, name="shared")
    model = keras.Model([a, b], layers.Dense(2, name="head")(layers.Add(name="add")([dense(a), dense(b)])))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(16, 4)).astype(np.float32) for _ in range(2)]
    prepared = trained(model, BOTH, x, np.zeros((16, 2), np.float32))
    plain = ks.strip(prepared)
    assert len(kernels.find(plain)) == 2
    np.testing.assert_allclose(plain(x), prepared(x), rtol=1e-5, atol=1e-6)


# FixedRange


def test_a_fixed_range_rounds_to_its_levels() -> None:
    layer = FixedRange(-1.0, 3.0)
    scale, zero = int8.range_parameters(-1.0, 3.0)
    x = np.linspace(-2, 4, 501, dtype=np.float32)
    levels = np.asarray(layer(x)) / scale
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-3)
    assert (np.rint(levels.min()), np.rint(levels.max())) == (-128 - zero, 127 - zero)
    again = FixedRange.from_config(layer.get_config())
    assert (again.low, again.high, again.name) == (-1.0, 3.0, layer.name)


@pytest.mark.parametrize("limits", [(0.5, 1.0), (-1.0, -0.5), (0.0, 0.0), (1.0, -1.0), (float("nan"), 1.0)])
def test_a_range_without_zero_or_width_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="holds 0 and is not empty"):
        FixedRange(*limits)
