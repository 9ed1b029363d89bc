"""What TensorFlow Model Optimization 0.8.1 gets wrong, as tests of ours: one section for each defect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.pattern import count
from keras_sparse.train import kernels
from keras_sparse.train.strip import stripped

HALF = ks.Prune(ks.Unstructured(0.5), ks.OneShot(0))
BOTH = ks.Recipe([HALF, ks.Quantize()])


def fit(model: Any, x: Any, y: Any, recipe: ks.Recipe, *callbacks: Any, epochs: int = 2) -> Any:
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[ks.Sparsify(recipe), *callbacks])
    return model


def on_grid(model: Any, x: Any) -> None:
    """Every kernel is int8 in the stripped model, which predicts what the trained one does."""
    parts = stripped(model)
    assert all(tensor.values.dtype == np.int8 for tensor in parts.tensors)
    np.testing.assert_allclose(parts.model.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


# 1. A layer followed by a ReLU layer without BatchNorm: weights never quantized, sparsity lost (0.50 -> 0.08)


@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "Dense"])
def test_1_weights_before_a_relu_are_quantized_and_keep_their_zeros(
    kind: str, images: Any, zeros: Any, look: Any, tmp_path: Path
) -> None:
    layer = {
        "Conv2D": lambda: layers.Conv2D(4, 3, name="layer"),
        "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, name="layer"),
        "Dense": lambda: layers.Dense(4, name="layer"),
    }[kind]()
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), layer, layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(3, name="head")]
    )
    model = ks.prepare(model, BOTH)
    watch = look(zeros)
    fit(model, *images, BOTH, watch)
    sizes = {kernel.path: kernel.variable.shape.num_elements() for kernel in kernels.find(model)}
    wanted = {path: count(0.5, size) for path, size in sizes.items()}
    assert watch.seen == [wanted] * 4
    on_grid(model, images[0])
    # And after save, load, train (0.50 -> 0.12 everywhere).
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    watch = look(zeros)
    again.fit(*images, batch_size=8, verbose=0, callbacks=[ks.Sparsify(BOTH), watch])
    assert [list(each.values()) for each in watch.seen] == [list(wanted.values())] * 2
    on_grid(again, images[0])


# 2. A reloaded N:M model is silently unstructured; N:M masks are computed once, at step 1


def test_2_n_of_m_ramps_and_survives_a_reload(mlp: Any, vectors: Any, look: Any, tmp_path: Path) -> None:
    recipe = ks.Recipe([ks.Prune(ks.NofM(1, 4), ks.Linear(0, 12, every=2), match="dense2/*")])
    recipe.save(tmp_path / "recipe.yaml")
    recipe = ks.Recipe.load(tmp_path / "recipe.yaml")

    def kept(model: Any) -> list[int]:
        (kernel,) = (each for each in kernels.find(model) if each.layer.name == "dense2")
        return sorted(set(np.count_nonzero(kernel.matrices().reshape(-1, 4), axis=1).tolist()))

    model = mlp()
    watch = look(kept)
    sparsify = ks.Sparsify(recipe, partial=True)
    model.compile("adam", "mse", jit_compile=False)
    model.fit(*vectors, batch_size=8, verbose=0, callbacks=[sparsify, watch])
    assert watch.seen == [[4], [3], [3], [3], [3], [2], [2], [2]]  # 4 - round(step / 12 * 3), halves up
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    watch = look(kept)
    model.fit(*vectors, batch_size=8, verbose=0, callbacks=[ks.Sparsify(recipe), watch])
    assert watch.seen == [[2], [1], [1], [1], [1], [1], [1], [1]]
    assert ks.NofM(1, 4).violation(kernels.find(model)[1].matrices()) is None


# 3. `frequency=100` and 8 steps: nothing is pruned, no warning; targets missed; begin == end gives NaN


@pytest.mark.parametrize(("begin", "end", "every"), [(0, 8, 100), (0, 7, 3), (2, 7, 4), (5, 5, 100), (0.0, 1.0, 100)])
def test_3_the_target_is_reached_whatever_the_interval(
    begin: Any, end: Any, every: int, mlp: Any, vectors: Any, zeros: Any
) -> None:
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(begin, end, every=every))])
    model = fit(mlp(), *vectors, recipe, epochs=1)
    assert sorted(zeros(model).values()) == [12, 24]


def test_3_a_target_that_cannot_be_reached_is_an_error(mlp: Any, vectors: Any) -> None:
    with pytest.raises(ValueError, match="needs optimizer step 9, and this fit ends at step 8"):
        fit(mlp(), *vectors, ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.Cubic(0, 9))]), epochs=1)


# 4. Ties are all kept: an all-zero tensor gets an all-ones mask


def test_4_ties_are_pruned_in_the_order_of_their_index(mlp: Any, vectors: Any) -> None:
    model = mlp(kernel_initializer="zeros")
    assert sum(int(np.sum(kernel.matrices() == 0)) for kernel in kernels.find(model)) == 72
    fit(model, *vectors, ks.Recipe([HALF]))
    (last,) = (kernel for kernel in kernels.find(model) if kernel.layer.name == "dense2")
    assert int(np.sum(last.matrices() == 0)) >= 12
    model = mlp(kernel_initializer="ones")
    fit(model, *vectors, ks.Recipe([HALF]))
    assert [int(np.sum(kernel.matrices() == 0)) for kernel in kernels.find(model)] == [24, 12]


# 5. Blocks: only rank-2 weights; a crash on size-1 axes; misaligned where a dimension is no multiple


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Conv2D(5, 3), (6, 6, 3)),
        (lambda: layers.Conv2D(1, 3), (6, 6, 1)),
        (lambda: layers.DepthwiseConv2D(3), (6, 6, 3)),
        (lambda: layers.Conv2DTranspose(5, 2), (6, 6, 3)),
        (lambda: layers.Dense(1), (6, 6, 7)),
        (lambda: layers.Dense(7), (6, 6, 1)),
    ],
)
@pytest.mark.parametrize("block", [(1, 4), (4, 1), (4, 4)])
def test_5_blocks_of_every_rank_and_size(make: Any, shape: tuple[int, ...], block: tuple[int, int]) -> None:
    model = keras.Sequential([keras.Input(shape), make(), layers.GlobalAveragePooling2D(), layers.Dense(1, name="end")])
    pattern = ks.Block(block, 0.5)
    x = np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)
    recipe = ks.Recipe([ks.Prune(pattern, ks.OneShot(0))])
    fit(model, x, np.zeros((8, 1)), recipe, epochs=1)
    for kernel in kernels.find(model):
        matrices = kernel.matrices()
        positions, rows, cols = matrices.shape
        whole = [
            matrices[p, r : r + block[0], c : c + block[1]]
            for p in range(positions)
            for r in range(0, rows, block[0])
            for c in range(0, cols, block[1])
        ]
        assert sum(not each.any() for each in whole) == count(0.5, len(whole))
        assert all(each.all() or not each.any() for each in whole)


# 6. Depthwise "per channel" has one scale; Dense + BatchNorm + ReLU quantized twice; Conv2DTranspose mistaken


def test_6_a_depthwise_convolution_has_a_scale_for_each_channel(images: Any) -> None:
    recipe = ks.Recipe([ks.Quantize()])
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="d"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    kernel = model.get_layer("d").kernel
    kernel.assign(kernel * np.float32([[[1, 10], [100, 1000], [1e4, 1e5]]]))
    model = ks.prepare(model, recipe)
    fit(model, images[0], np.zeros((16, 6)), recipe, epochs=1)
    (tensor,) = stripped(model).tensors
    assert tensor.scale is not None
    assert tensor.scale.shape == (1, 1, 3, 2)
    assert np.abs(tensor.values).max(axis=(0, 1)).tolist() == [[127, 127]] * 3


def test_6_dense_with_batch_norm_and_relu_is_quantized_once(vectors: Any) -> None:
    recipe = ks.Recipe([ks.Quantize()])
    model = keras.Sequential(
        [
            keras.Input((6,), name="in"),
            layers.Dense(4, name="d"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(name="relu"),
            layers.Dense(3, name="head"),
        ]
    )
    prepared = ks.prepare(model, recipe)
    assert [each.name for each in prepared.layers] == [
        *("in", "in_range", "d", "bn", "relu", "relu_range", "head", "head_range")
    ]
    on_grid(fit(prepared, *vectors, recipe), vectors[0])


def test_6_a_transposed_convolution_groups_along_its_inputs() -> None:
    model = keras.Sequential(
        [keras.Input((4, 4, 8)), layers.Conv2DTranspose(5, 3, name="up"), layers.GlobalAveragePooling2D()]
    )
    recipe = ks.Recipe([ks.Prune(ks.NofM(1, 4), ks.OneShot(0))])
    fit(model, np.random.default_rng(0).normal(size=(8, 4, 4, 8)), np.zeros((8, 5)), recipe, epochs=1)
    kernel = model.get_layer("up").kernel.numpy()  # (h, w, out, in)
    assert kernel.shape == (3, 3, 5, 8)
    assert set(np.count_nonzero(kernel.reshape(3, 3, 5, 2, 4), axis=-1).ravel().tolist()) == {1}


# 7. Checkpoints are dense between mask application and epoch end


def test_7_every_checkpoint_is_sparse(mlp: Any, vectors: Any, zeros: Any, tmp_path: Path) -> None:
    model = ks.prepare(mlp(), BOTH)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=1)
    fit(model, *vectors, BOTH, checkpoint, epochs=1)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for file in files:
        assert sorted(zeros(keras.models.load_model(file)).values()) == [12, 24]


# 8. Refused altogether: Conv1D, RNN, attention, LayerNormalization, nested, subclassed and mixed-precision models


def series() -> Any:
    inputs = keras.Input((8, 4))
    x = layers.Conv1D(6, 3, padding="same")(inputs)
    x = layers.LayerNormalization()(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.LSTM(5)(x)
    x = keras.Sequential([layers.Dense(4, activation="relu")])(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_8_what_is_refused_elsewhere_is_trained(precision: str, zeros: Any, look: Any) -> None:
    """In quantization-aware training the layers without int8 kernels stay float, in the same model."""
    keras.config.set_dtype_policy(precision)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 8, 4)).astype(np.float32), rng.normal(size=(16, 3)).astype(np.float32)
    model = ks.prepare(series(), BOTH)
    sizes = {kernel.path: kernel.variable.shape.num_elements() for kernel in kernels.find(model)}
    assert len(sizes) == 9
    watch = look(zeros)
    fit(model, x, y, BOTH, watch, epochs=1)
    assert watch.seen == [{path: count(0.5, size) for path, size in sizes.items()}] * 2
    parts = stripped(model)
    int8 = [tensor.name.split("/")[-2] for tensor in parts.tensors if tensor.scale is not None]
    # Those of the model inside are called after it.
    assert len(int8) == 2 and int8[1] == "head" and int8[0].startswith("sequential")
    assert len(parts.float_layers) >= 5
    np.testing.assert_allclose(
        np.asarray(parts.model(x), np.float32), np.asarray(model(x), np.float32), rtol=1e-2, atol=1e-3
    )


@pytest.mark.slow
def test_8_a_mobilenet_v3() -> None:
    """TFMOT refuses it in pruning and in quantization."""
    model = keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=3, include_preprocessing=False)
    model = ks.prepare(model, BOTH)
    x = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    model.compile("sgd", "categorical_crossentropy", jit_compile=False)
    model.fit(x, np.eye(3)[[0, 1, 2, 0]], batch_size=2, verbose=0, callbacks=[ks.Sparsify(BOTH)])
    for kernel in kernels.find(model):
        matrices = kernel.matrices()
        assert np.count_nonzero(matrices == 0) == count(0.5, matrices.size)
    plain = ks.strip(model)
    np.testing.assert_allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5)
