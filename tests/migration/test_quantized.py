"""QAT models of TFMOT: their ranges at our sites, their predictions out of the prepared model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.migration import wrappers
from keras_sparse.train import kernels
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.wrapper import QuantizedWeights

LIMITS = ("_min", "_max")


def ours(model: Any) -> dict[str, tuple[list[float], list[float]]]:
    """{range: (its lows, its highs)}."""
    found = [layer for layer in kernels.walk(model) if isinstance(layer, ActivationRange)]
    return {layer.name: (layer.low.numpy().tolist(), layer.high.numpy().tolist()) for layer in found}


def theirs(model: Any, layer: str, variable: str) -> tuple[list[float], list[float]]:
    """What TFMOT's variables of that name hold; it numbers the names of some."""
    weights = next(each.weights for each in model.layers if each.name.startswith(layer))
    values = {each.name.split("/")[-1]: each.numpy() for each in weights}
    low, high = (next(values[name] for name in values if name.startswith(variable) and end in name) for end in LIMITS)
    return [float(low)], [float(high)]


def int8_layers(model: Any) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, QuantizedWeights)]


def all_active(model: Any) -> bool:
    return all(float(layer.active) == 1 for layer in kernels.walk(model) if hasattr(layer, "active"))


def small(k2: Any) -> Any:
    """One range for each kind of fusion, where both schemes have the same sites."""
    la = k2.layers
    return k2.Sequential(
        [
            k2.Input((8, 8, 3), name="image"),
            la.Conv2D(4, 3, use_bias=False, name="conv"),
            la.BatchNormalization(name="bn"),
            la.ReLU(6.0, name="relu"),
            la.DepthwiseConv2D(3, activation="relu", name="depthwise"),
            la.Conv2D(8, 1, name="pointwise"),
            la.MaxPooling2D(name="pool"),
            la.GlobalAveragePooling2D(name="mean"),
            la.Dense(6, activation="relu", name="hidden"),
            la.Dense(3, activation="softmax", name="head"),
        ]
    )


@pytest.fixture(scope="module")
def pair(k2: Any, quantized: Any) -> Any:
    """The small model quantized by TFMOT, and what we make of it; neither is changed by a test."""
    old = quantized(small(k2), np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype(np.float32))
    return old, ks.from_tfmot(old)


def test_ranges_are_those_of_tfmot(pair: Any) -> None:
    old, new = pair
    assert ours(new) == {
        "image_range": theirs(old, "quantize_layer", "quantize_layer"),
        "relu_range": theirs(old, "quant_relu", "output"),
        "depthwise_range": theirs(old, "quant_depthwise", "post_activation"),
        "pointwise_range": theirs(old, "quant_pointwise", "post_activation"),
        "mean_range": theirs(old, "quant_mean", "output"),
        "hidden_range": theirs(old, "quant_hidden", "post_activation"),
        "head_range": theirs(old, "quant_head", "pre_activation"),
    }
    assert int8_layers(new) == ["conv", "depthwise", "pointwise", "hidden", "head"] and all_active(new)


def test_on_the_same_grid_predictions_are_the_same(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    """Where both round weights to the same values, nothing but the order of float sums is left."""
    x = noise(16, 8, 8, 3)
    old = quantized(small(k2), x, grid=True)
    np.testing.assert_allclose(on_arrays(ks.from_tfmot(old), x)[0], on_arrays(old, x)[0], rtol=1e-5, atol=1e-5)


def test_weights_are_the_same_bit_for_bit(k2: Any, quantized: Any, noise: Any) -> None:
    model = small(k2)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 1, each.shape) for each in model.get_weights()])
    new = ks.from_tfmot(quantized(model, noise(8, 8, 8, 3)))
    for name in ("conv", "bn", "depthwise", "pointwise", "hidden", "head"):
        layer = new.get_layer(name)
        layer = layer.layer if isinstance(layer, QuantizedWeights) else layer
        want = model.get_layer(name).get_weights()
        if name == "bn":
            want = want[:2]  # moving averages have moved
        for got, wanted in zip(layer.get_weights(), want, strict=False):
            np.testing.assert_array_equal(got, wanted)


def test_an_exported_file_has_the_ranges(pair: Any, noise: Any, tmp_path: Path) -> None:
    _, new = pair
    artifact = ks.export(new, tmp_path / "model.tflite", samples=noise(8, 8, 8, 3))
    assert artifact.report.scheme == "int8" and artifact.report.float_operations == ()
    assert [each.dtype for each in artifact.report.tensors] == ["int8"] * 5
    fixed = {layer.name: (layer.low, layer.high) for layer in ks.strip(new).layers if hasattr(layer, "low")}
    for name, (low, high) in ours(new).items():
        assert fixed[name] == (low[0], high[0])


def test_a_model_that_learns_on(pair: Any, noise: Any) -> None:
    new = ks.from_tfmot(pair[0])
    before = ours(new)
    new.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    new.fit(noise(8, 8, 8, 3), np.arange(8) % 3, verbose=0, callbacks=[ks.Sparsify(ks.Recipe([ks.Quantize()]))])
    after = ours(new)
    moved = after["relu_range"][1][0] / before["relu_range"][1][0]
    assert 0.98 < moved < 1.0  # by an average with momentum 0.99 from TFMOT's, not from nothing


def test_residual_and_concatenation(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    la = k2.layers
    image = k2.Input((8, 8, 3), name="image")
    x = la.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(image)
    y = la.ReLU(name="relu")(la.Add(name="add")([x, la.Conv2D(4, 1, name="conv2")(x)]))
    z = la.Concatenate(name="cat")([la.MaxPooling2D(name="max")(y), la.AveragePooling2D(name="mean")(x)])
    old = quantized(k2.Model(image, la.Dense(3, name="head")(la.Flatten(name="flat")(z))), noise(8, 8, 8, 3))
    new = ks.from_tfmot(old)
    found = ours(new)
    assert found["image_range"] == theirs(old, "quantize_layer", "quantize_layer")
    assert found["conv2_range"] == theirs(old, "quant_conv2", "post_activation")
    # relu, max, conv1, mean and cat have one scale in the runtime; the range is that of the ends that TFMOT learned.
    (shared,) = (name for name in found if len(found[name][0]) == 2)
    ends = [theirs(old, "quant_conv1", "post_activation"), theirs(old, "quant_relu", "output")]
    assert sorted(zip(*found[shared], strict=True)) == sorted((low[0], high[0]) for low, high in ends)
    close(on_arrays(new, noise(16, 8, 8, 3))[0], on_arrays(old, noise(16, 8, 8, 3))[0])


def close(made: np.ndarray, wanted: np.ndarray, part: float = 0.05) -> None:
    """Within a part of the spread of the outputs: some levels of 256 in each of some layers."""
    assert np.abs(made - wanted).max() < part * (wanted.max() - wanted.min())


def test_a_range_behind_a_concatenation(k2: Any, quantized: Any, noise: Any) -> None:
    """TFMOT takes the ranges of ReLU layers away before a concatenation: its own is the one."""
    la = k2.layers
    image = k2.Input((6, 6, 3), name="image")
    left, right = (
        la.ReLU(name=name)(la.BatchNormalization()(la.Conv2D(2, 1, use_bias=False)(image)))
        for name in ("left", "right")
    )
    old = quantized(
        k2.Model(image, la.Conv2D(2, 1, name="head")(la.Concatenate(name="cat")([left, right]))), noise(4, 6, 6, 3)
    )
    low, high = theirs(old, "quant_cat", "output")
    assert ours(ks.from_tfmot(old))["left_range"] == (low * 2, high * 2)


def test_a_relu_after_a_layer(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    """TFMOT leaves these weights float until conversion; here they are int8 already."""
    la = k2.layers
    model = k2.Sequential(
        [
            k2.Input((6, 6, 3)),
            la.Conv2D(4, 3, name="conv"),
            la.ReLU(name="relu"),
            la.Flatten(),
            la.Dense(5, name="dense"),
            la.Activation("relu", name="act"),
            la.Dense(2, name="head"),
        ]
    )
    old = quantized(model, noise(8, 6, 6, 3))
    assert not wrappers.kernel_quantizers(old.get_layer("quant_conv"))
    new = ks.from_tfmot(old)
    assert int8_layers(new) == ["conv", "dense", "head"]
    assert ours(new)["relu_range"] == theirs(old, "quant_relu", "output")
    close(on_arrays(new, noise(8, 6, 6, 3))[0], on_arrays(old, noise(8, 6, 6, 3))[0])


def test_bounded_activations(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    la = k2.layers
    model = k2.Sequential(
        [
            k2.Input((6,)),
            la.Dense(5, activation="tanh", name="one"),
            la.Dense(4, name="two"),
            la.Activation("sigmoid", name="act"),
            la.Dense(3, name="three"),
            la.Softmax(name="end"),
        ]
    )
    old = quantized(model, noise(8, 6))
    new = ks.from_tfmot(old)
    found = ours(new)
    assert found["one_range"] == theirs(old, "quant_one", "pre_activation")
    assert found["one_range_2"] == ([-1.0], [127 / 128]) and found["act_range"] == ([0.0], [255 / 256])
    close(on_arrays(new, noise(8, 6))[0], on_arrays(old, noise(8, 6))[0])


def test_separable_convolution_and_dense_batch_norm(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    la = k2.layers
    model = k2.Sequential(
        [
            k2.Input((6, 6, 3)),
            la.SeparableConv2D(4, 3, activation="relu"),
            la.Flatten(),
            la.Dense(5, use_bias=False, name="dense"),
            la.BatchNormalization(name="bn"),
            la.ReLU(name="relu"),
            la.Dense(2, name="head"),
        ]
    )
    old = quantized(model, noise(8, 6, 6, 3))
    new = ks.from_tfmot(old)
    assert len(int8_layers(new)) == 4 and len(ours(new)) == 5
    assert ours(new)["relu_range"] == theirs(old, "quant_relu", "output")
    close(on_arrays(new, noise(8, 6, 6, 3))[0], on_arrays(old, noise(8, 6, 6, 3))[0])


def test_shared_layers_two_inputs_and_two_outputs(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    la = k2.layers
    a, b = k2.Input((5,), name="a"), k2.Input((5,), name="b")
    shared = la.Dense(5, activation="relu", name="shared")
    total = la.Add(name="add")([shared(a), shared(shared(b))])
    old = quantized(
        k2.Model([a, b], [la.Dense(2, name="one")(total), la.Dense(3, name="two")(total)]), noise(8, 5), noise(8, 5)
    )
    new = ks.from_tfmot(old)
    assert int8_layers(new) == ["shared", "one", "two"]
    found = ours(new)
    # TFMOT has one range for all calls of a layer.
    own = [found[name] for name in found if name.startswith("shared")]
    assert own == [theirs(old, "quant_shared", "post_activation")] * 3
    assert {"a_range", "b_range", "add_range", "one_range", "two_range"} < set(found)
    for made, wanted in zip(
        on_arrays(new, noise(8, 5), noise(8, 5)), on_arrays(old, noise(8, 5), noise(8, 5)), strict=True
    ):
        close(made, wanted)


def test_a_quantized_model_inside_a_model(k2: Any, quantized: Any, noise: Any, on_arrays: Any) -> None:
    la = k2.layers
    inner = quantized(
        k2.Sequential([k2.Input((6,)), la.Dense(5, activation="relu", name="dense"), la.Dense(4, name="out")]),
        noise(8, 6),
    )
    x = k2.Input((6,), name="x")
    old = k2.Model(x, la.Dense(2, name="dense")(inner(x)))
    new = ks.from_tfmot(old)
    assert int8_layers(new) == ["dense", "out"] and [layer.name for layer in new.layers][-1] == "dense_2"
    close(on_arrays(new, noise(8, 6))[0], on_arrays(old, noise(8, 6))[0])


def annotated(tfmot: Any, k2: Any, model: Any, *names: str) -> Any:
    def clone(layer: Any) -> Any:
        return tfmot.quantization.keras.quantize_annotate_layer(layer) if layer.name in names else layer

    return k2.models.clone_model(model, clone_function=clone)


def test_annotated_layers_only(k2: Any, tfmot: Any, noise: Any, on_arrays: Any, tmp_path: Path) -> None:
    la = k2.layers
    model = k2.Sequential(
        [
            k2.Input((6, 6, 3)),
            la.Conv2D(4, 3, name="conv"),
            la.ReLU(name="relu"),
            la.Conv2D(4, 1, activation="relu", name="two"),
            la.Flatten(name="flat"),
            la.Dense(3, name="head"),
        ]
    )
    old = tfmot.quantization.keras.quantize_apply(annotated(tfmot, k2, model, "two"))
    for _ in range(3):
        old(noise(8, 6, 6, 3), training=True)
    new = ks.from_tfmot(old)
    assert int8_layers(new) == ["two"]
    assert ours(new) == {
        "relu_range": theirs(old, "quant_relu", "output"),
        "two_range": theirs(old, "quant_two", "post_activation"),
    }
    close(on_arrays(new, noise(8, 6, 6, 3))[0], on_arrays(old, noise(8, 6, 6, 3))[0])
    report = ks.export(new, tmp_path / "m.tflite", samples=noise(8, 6, 6, 3)).report
    assert {each.name: each.dtype for each in report.tensors} == {
        "conv/kernel": "float32",
        "two/kernel": "int8",
        "head/kernel": "float32",
    }


def test_a_range_that_tfmot_did_not_learn(k2: Any, tfmot: Any, noise: Any) -> None:
    la = k2.layers
    model = k2.Sequential(
        [k2.Input((6, 6, 3)), la.Conv2D(4, 3, name="conv"), la.Flatten(name="flat"), la.Dense(3, name="head")]
    )
    old = tfmot.quantization.keras.quantize_apply(annotated(tfmot, k2, model, "head"))
    for _ in range(3):
        old(noise(8, 6, 6, 3), training=True)
    with pytest.raises(ValueError, match="TFMOT learned no range for the output of 'conv'"):
        ks.from_tfmot(old)
    new = ks.from_tfmot(old, samples=noise(8, 6, 6, 3))
    found = ours(new)
    values = keras.Model(new.input, new.get_layer("conv").output).predict(noise(8, 6, 6, 3), verbose=0)
    np.testing.assert_allclose(found["conv_range"], ([values.min()], [values.max()]), rtol=1e-5)
    assert found["head_range"] == theirs(old, "quant_head", "post_activation") and all_active(new)


def test_fixed_ranges(k2: Any, tfmot: Any, quantized: Any, noise: Any) -> None:
    from tensorflow_model_optimization.python.core.quantization.keras.quantize import (
        fix_input_output_range,
        quantize_scope,
        remove_input_range,
    )

    model = k2.Sequential([k2.Input((6,), name="x"), k2.layers.Dense(4, name="one"), k2.layers.Dense(2, name="two")])
    old = quantized(model, noise(8, 6))
    with quantize_scope():
        fixed = fix_input_output_range(
            old, input_min=-0.5, input_max=2.0, output_min=-3.0, output_max=1.0, narrow_range=True
        )
    found = ours(ks.from_tfmot(fixed))
    # 254 levels of the narrow range, and one more of the same width.
    np.testing.assert_allclose(found["x_range"], ([-0.5 - 2.5 / 254], [2.0]))
    np.testing.assert_allclose(found["two_range"], ([-3.0 - 4 / 254], [1.0]))
    with quantize_scope():
        removed = remove_input_range(old)
    with pytest.raises(ValueError, match="TFMOT learned no range for the input, which an int8 layer needs"):
        ks.from_tfmot(removed)
    with quantize_scope():
        four = fix_input_output_range(old, num_bits=4)
    with pytest.raises(ValueError, match=r"'quantize_layer.*' is quantized to 4 bits"):
        ks.from_tfmot(four)
    with quantize_scope():
        off = fix_input_output_range(old, input_min=1.0, input_max=2.0)
    with pytest.raises(ValueError, match="with 0 between them were required of its FixedQuantizer"):
        ks.from_tfmot(off)


def test_nothing_with_weights_is_quantized(k2: Any, tfmot: Any) -> None:
    model = k2.Sequential([k2.Input((6,)), k2.layers.ReLU(name="relu"), k2.layers.Dense(4)], name="net")
    old = tfmot.quantization.keras.quantize_apply(annotated(tfmot, k2, model, "relu"))
    with pytest.raises(ValueError, match="no Dense, Conv2D or DepthwiseConv2D layer of 'net'"):
        ks.from_tfmot(old)


def test_a_model_that_was_not_trained(k2: Any, quantized: Any, noise: Any) -> None:
    """TFMOT starts with a range of nothing for the input and of [-6, 6] for the rest."""
    model = k2.Sequential([k2.Input((6,), name="x"), k2.layers.Dense(4, name="dense")])
    old = quantized(model, steps=0)
    with pytest.raises(ValueError, match="TFMOT learned no range for the input"):
        ks.from_tfmot(old)
    found = ours(ks.from_tfmot(old, samples=noise(8, 6)))
    np.testing.assert_allclose(found["x_range"], ([noise(8, 6).min()], [noise(8, 6).max()]))
    assert found["dense_range"] == ([-6.0], [6.0])


def test_a_layer_that_was_to_be_left_alone(k2: Any, tfmot: Any, noise: Any) -> None:
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_configs as configs,
    )

    la, q = k2.layers, tfmot.quantization.keras
    alone = q.quantize_annotate_layer(la.Dense(4, name="alone"), configs.NoOpQuantizeConfig())
    last = q.quantize_annotate_layer(la.Dense(2, name="last"))
    with q.quantize_scope({"NoOpQuantizeConfig": configs.NoOpQuantizeConfig}):
        old = q.quantize_apply(k2.Sequential([k2.Input((6,)), alone, last]))
    old(noise(8, 6), training=True)
    with pytest.raises(ValueError, match="no range for the output of 'alone'"):
        ks.from_tfmot(old)
    assert int8_layers(ks.from_tfmot(old, samples=noise(8, 6))) == ["last"]
