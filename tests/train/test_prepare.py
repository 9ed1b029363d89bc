"""Where ranges sit and what is wrapped; while off, nothing about a model changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.train import kernels
from keras_sparse.train.strip import stripped
from keras_sparse.train.wrapper import QuantizedWeights

Q = ks.Recipe([ks.Quantize()])
RELUS: list[Callable[[str], Any]] = [
    lambda name: layers.ReLU(name=name),
    lambda name: layers.ReLU(6, name=name),
    lambda name: layers.Activation("relu", name=name),
    lambda name: layers.Activation("relu6", name=name),
]


def build(*made: Any, shape: tuple[int, ...] = (6, 6, 3)) -> Any:
    return keras.Sequential([keras.Input(shape, name="in"), *made])


def order(model: Any) -> list[str]:
    """The layers of a prepared chain, in order, without its name for the input."""
    assert model.layers[0].name == "in"
    return [layer.name for layer in model.layers[1:]]


# Where ranges sit


@pytest.mark.parametrize("relu", RELUS)
@pytest.mark.parametrize(
    "conv",
    [
        lambda: layers.Conv2D(4, 3, name="conv"),
        lambda: layers.DepthwiseConv2D(3, name="conv"),
        lambda: layers.Dense(4, name="conv"),
    ],
)
def test_at_the_end_of_what_is_fused(conv: Any, relu: Any) -> None:
    """No range between a convolution and its BatchNorm: the converter could not fold it."""
    model = ks.prepare(build(conv(), layers.BatchNormalization(name="bn"), relu("relu")), Q)
    assert order(model) == ["in_range", "conv", "bn", "relu", "relu_range"]
    model = ks.prepare(build(conv(), relu("relu")), Q)
    assert order(model) == ["in_range", "conv", "relu", "relu_range"]
    model = ks.prepare(build(conv(), layers.BatchNormalization(name="bn")), Q)
    assert order(model) == ["in_range", "conv", "bn", "bn_range"]


@pytest.mark.parametrize("activation", ["relu", "relu6", None])
def test_an_activation_within_the_layer(activation: Any) -> None:
    model = ks.prepare(
        build(layers.Conv2D(4, 3, activation=activation, name="conv"), layers.Conv2D(2, 1, name="next")), Q
    )
    assert order(model) == ["in_range", "conv", "conv_range", "next", "next_range"]
    assert model.get_layer("conv").layer.get_config()["activation"] == (activation or "linear")


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "tanh"])
def test_an_activation_that_is_not_fused_is_split_off(activation: str) -> None:
    model = ks.prepare(build(layers.Dense(4, activation=activation, name="head"), shape=(5,)), Q)
    assert order(model) == ["in_range", "head", "head_range", f"head_{activation}"]
    assert model.get_layer("head").layer.get_config()["activation"] == "linear"


def test_batch_norm_after_an_activation_is_not_fused() -> None:
    model = ks.prepare(
        build(
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.Conv2D(2, 1, name="next"),
        ),
        Q,
    )
    assert order(model) == ["in_range", "conv", "conv_range", "bn", "bn_range", "next", "next_range"]


def test_what_moves_values_keeps_their_range() -> None:
    """Padding, pooling by maximum, Flatten and Dropout store what they read: no range of their own."""
    model = ks.prepare(
        build(
            layers.ZeroPadding2D(1, name="pad"),
            layers.Conv2D(4, 3, name="conv"),
            layers.MaxPooling2D(2, name="max"),
            layers.SpatialDropout2D(0.1, name="drop2d"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.1, name="drop"),
            layers.Dense(2, name="head"),
        ),
        Q,
    )
    assert order(model) == [
        "in_range",
        "pad",
        "conv",
        "conv_range",
        "max",
        "drop2d",
        "flatten",
        "drop",
        "head",
        "head_range",
    ]


def test_averages_round_to_the_range_of_their_input_again(wiring: Any) -> None:
    model = ks.prepare(
        build(layers.Conv2D(4, 3, name="conv"), layers.AveragePooling2D(2, name="mean"), layers.Dense(2, name="next")),
        Q,
    )
    wires = wiring(model)
    assert wires["conv_range"] == [["conv"], ["mean"]]
    assert wires["next"] == [["conv_range"]]


def test_a_mean_over_the_image_has_a_range_of_its_own() -> None:
    model = ks.prepare(
        build(layers.Conv2D(4, 3, name="conv"), layers.GlobalAveragePooling2D(name="mean"), layers.Dense(2, name="d")),
        Q,
    )
    assert order(model) == ["in_range", "conv", "conv_range", "mean", "mean_range", "d", "d_range"]


def test_a_residual_block(residual: Any, wiring: Any) -> None:
    wires = wiring(ks.prepare(residual(), Q))
    assert wires["image_range"] == [["image"]]
    assert wires["conv1"] == [["image_range"]]
    assert wires["conv2"] == [["conv1_range"]]
    assert wires["bn2"] == [["conv2"]]
    assert sorted(wires["add"][0]) == ["bn2_range", "conv1_range"]  # both terms are int8
    assert wires["relu"] == [["add"]]  # Add + ReLU is one operation
    assert wires["relu_range"][0] == ["relu"]


def test_a_concatenation_has_one_range_for_all(residual: Any, wiring: Any, trained: Any) -> None:
    """`right` only moves the values of the ReLU: they, `left` and the result share one range."""
    model = trained(residual())
    wires = wiring(model)
    shared = {name for name, calls in wires.items() if ["left"] in calls}
    assert len(shared) == 1
    (name,) = shared
    assert ["relu"] in wires[name] or ["right"] in wires[name]
    assert ["concat"] in wires[name]
    plain = ks.strip(model)
    limits = {
        each.name: (each.low, each.high) for each in plain.layers if each.name.startswith(name) and hasattr(each, "low")
    }
    assert len(limits) >= 3
    assert len(set(limits.values())) == 1


def test_concatenated_inputs_share_a_range(wiring: Any, trained: Any) -> None:
    """Of very different sizes: the range holds both."""
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    both = layers.Concatenate(name="both")([a, b])
    model = keras.Model([a, b], layers.Dense(2, name="head")(both))
    rng = np.random.default_rng(0)
    x = [rng.uniform(0, 1, (16, 4)).astype(np.float32), rng.uniform(-50, 0, (16, 4)).astype(np.float32)]
    model = trained(model, x=x, y=np.zeros((16, 2), np.float32), epochs=1)
    plain = ks.strip(model)
    ranges = [each for each in plain.layers if hasattr(each, "low") and "head" not in each.name]
    assert len({(each.low, each.high) for each in ranges}) == 1
    assert ranges[0].low < -40 and 0.5 < ranges[0].high <= 1.0


def test_a_layer_used_twice_is_wrapped_once(wiring: Any) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    dense = layers.Dense(4, name="shared")
    model = ks.prepare(keras.Model([a, b], layers.Add(name="add")([dense(a), dense(b)])), Q)
    wires = wiring(model)
    assert len(wires["shared"]) == 2
    assert len([each for each in kernels.find(model)]) == 1
    assert all(source.startswith("shared_range") for source in wires["add"][0])


def test_an_output_used_inside_the_model_too_has_one_range(wiring: Any) -> None:
    inputs = keras.Input((4,), name="in")
    middle = layers.Dense(4, name="middle")(inputs)
    model = keras.Model(inputs, [middle, layers.ReLU(name="relu")(middle), layers.Dense(2, name="head")(middle)])
    prepared = ks.prepare(model, Q)
    wires = wiring(prepared)
    assert wires["relu"] == [["middle_range"]]  # not alone: not fused
    assert wires["head"] == [["middle_range"]]
    assert wires["middle_range"] == [["middle"]]
    outputs = [name for name, *_ in prepared.get_config()["output_layers"]]
    assert outputs == ["middle_range", "relu_range", "head_range"]


# What is wrapped


def test_only_what_the_rule_matches_is_wrapped(cnn: Any, wrapped: Any) -> None:
    assert sorted(wrapped(ks.prepare(cnn(), Q))) == ["depthwise", "entry", "head", "pointwise"]
    one = ks.Recipe([ks.Quantize(match=["pointwise/*", "head/kernel"])])
    assert sorted(wrapped(ks.prepare(cnn(), one))) == ["head", "pointwise"]


def test_layers_that_are_not_matched_stay_float_and_are_named(cnn: Any, trained: Any) -> None:
    model = trained(cnn(), ks.Recipe([ks.Quantize(match="head/*")]))
    reasons = stripped(model).float_layers
    assert {"entry", "depthwise", "pointwise"} <= set(reasons)
    assert "does not match" in reasons["entry"]
    assert "head" not in reasons


def test_layers_that_cannot_be_quantized_stay_float_and_are_named(trained: Any) -> None:
    inputs = keras.Input((6, 6, 3))
    x = layers.Normalization(mean=0.0, variance=1.0, name="normalization")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.Conv2DTranspose(4, 3, name="transpose")(x)
    x = keras.ops.gelu(x)
    x = layers.Flatten(name="flatten")(x)
    x = keras.Sequential([layers.Dense(4, name="deep")], name="inner")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="gelu", name="head")(x))
    (function,) = (each.name for each in model.operations if each not in model.layers)
    reasons = stripped(trained(model)).float_layers
    assert set(reasons) == {"normalization", "bn", "leaky", "transpose", function, "head_gelu"}
    assert all(reasons.values())


def test_functions_of_keras_ops_stay_in_place(trained: Any, vectors: Any) -> None:
    inputs = keras.Input((6,), name="in")
    x = layers.Dense(6, name="first")(inputs)
    x = keras.ops.maximum(x, 0.0) * 2.0 + inputs
    model = keras.Model(inputs, layers.Dense(3, name="last")(x))
    prepared = trained(model, x=vectors[0], y=vectors[1])
    plain = ks.strip(prepared)
    np.testing.assert_allclose(plain(vectors[0]), prepared(vectors[0]), rtol=1e-5, atol=1e-6)
    assert len(stripped(prepared).float_layers) == 3


def test_the_layers_of_a_model_inside_stand_in_its_place() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="deep")], name="inner")
    model = build(inner, layers.Dense(2, name="head"), shape=(4,))
    prepared = ks.prepare(model, Q)
    assert isinstance(prepared.get_layer("inner_deep"), QuantizedWeights)
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(prepared(x), model(x))


def test_a_subclassed_model_inside_is_not_reached_into() -> None:
    class Inside(keras.Model):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.deep = layers.Dense(4, name="deep")

        def call(self, inputs: Any) -> Any:
            return self.deep(inputs)

    with pytest.raises(ValueError, match=r"can be int8, and .*deep/kernel"):
        ks.prepare(build(Inside(name="inner"), shape=(4,)), Q)


@pytest.mark.parametrize("activation", ["LeakyReLU", "ReLU", "function"])
def test_activations_that_are_layers_or_functions(activation: str, vectors: Any) -> None:
    @keras.saving.register_keras_serializable(package="test", name=f"mine_{activation}")
    def mine(x: Any) -> Any:
        return x * 2.0

    made = {"LeakyReLU": layers.LeakyReLU(), "ReLU": layers.ReLU(), "function": mine}[activation]
    model = build(layers.Dense(3, activation=made, name="head"), shape=(6,))
    prepared = ks.prepare(model, Q)
    np.testing.assert_array_equal(prepared(vectors[0]), model(vectors[0]))
    assert order(prepared)[-1] == f"head_{'mine' if activation == 'function' else activation}"


# While off, nothing changes


@pytest.mark.parametrize("name", ["cnn", "residual", "mlp"])
def test_predictions_are_the_same_while_off(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)()
    x = np.random.default_rng(0).normal(size=(5, *model.input_shape[1:])).astype(np.float32)
    before = model.predict(x, verbose=0)
    prepared = ks.prepare(model, Q)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # as about the structure of the inputs
        np.testing.assert_array_equal(prepared.predict(x, verbose=0), before)
        np.testing.assert_array_equal(prepared(x), model(x))
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)
    assert prepared.name == model.name
    assert prepared.output_shape == model.output_shape


def test_training_is_the_same_while_off(mlp: Any, vectors: Any) -> None:
    model = mlp(kernel_regularizer="l2")
    prepared = ks.prepare(model, Q)
    for each in (model, prepared):
        each.compile(keras.optimizers.Adam(0.01), "mse")
        each.fit(*vectors, batch_size=8, verbose=0, shuffle=False)
    for name in ("dense1", "dense2"):
        for ours, theirs in zip(
            prepared.get_layer(name).layer.get_weights(), model.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_the_model_given_is_not_changed(cnn: Any) -> None:
    model = cnn()
    before, config = model.get_weights(), model.get_config()
    prepared = ks.prepare(model, Q)
    prepared.set_weights([weight + 1 for weight in prepared.get_weights()])
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.get_config() == config


def test_paths_and_settings_of_layers_are_kept() -> None:
    inputs = keras.Input((6, 6, 4), name="in")
    x = layers.Conv2D(
        4, 3, 2, "same", groups=2, kernel_constraint="non_neg", kernel_regularizer="l2", trainable=False, name="conv"
    )(inputs)
    model = keras.Model(inputs, layers.Dense(2, use_bias=False, name="head")(layers.Flatten()(x)))
    prepared = ks.prepare(model, Q)
    assert [kernel.path for kernel in kernels.find(prepared)] == [kernel.path for kernel in kernels.find(model)]
    assert [kernel.trainable for kernel in kernels.find(prepared)] == [False, True]
    inner = prepared.get_layer("conv").layer
    assert (inner.groups, inner.padding, inner.strides) == (2, "same", (2, 2))
    assert isinstance(inner.kernel.constraint, keras.constraints.NonNeg)
    assert len(prepared.trainable_variables) == len(model.trainable_variables)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_precisions(policy: str, mlp: Any, vectors: Any, trained: Any) -> None:
    keras.config.set_dtype_policy(policy)
    model = mlp()
    prepared = ks.prepare(model, Q)
    assert prepared(vectors[0]).dtype == model(vectors[0]).dtype
    np.testing.assert_array_equal(*(np.asarray(each(vectors[0]), np.float64) for each in (prepared, model)))
    prepared = trained(model, x=vectors[0], y=vectors[1])
    plain = ks.strip(prepared)
    np.testing.assert_array_equal(*(np.asarray(each(vectors[0]), np.float64) for each in (prepared, plain)))


@pytest.mark.parametrize(("made", "later"), [("float32", "mixed_bfloat16"), ("mixed_bfloat16", "float32")])
def test_the_precision_is_that_of_the_model(made: str, later: str, mlp: Any, vectors: Any) -> None:
    model = mlp(dtype=made)
    keras.config.set_dtype_policy(later)
    prepared = ks.prepare(model, Q)
    assert prepared(vectors[0]).dtype == model(vectors[0]).dtype
    np.testing.assert_array_equal(*(np.asarray(each(vectors[0]), np.float64) for each in (prepared, model)))


def test_many_inputs_and_outputs(trained: Any) -> None:
    a, b = keras.Input((4,), name="a"), keras.Input((6,), name="b")
    x = layers.Concatenate(name="both")([layers.Dense(4, name="first")(a), b])
    model = keras.Model({"a": a, "b": b}, {"one": layers.Dense(2, name="one")(x), "two": layers.ReLU(name="two")(x)})
    rng = np.random.default_rng(0)
    data = {"a": rng.normal(size=(16, 4)).astype(np.float32), "b": rng.normal(size=(16, 6)).astype(np.float32)}
    prepared = ks.prepare(model, Q)
    for key, value in model(data).items():
        np.testing.assert_array_equal(prepared(data)[key], value)
    y = {"one": np.zeros((16, 2), np.float32), "two": np.zeros((16, 10), np.float32)}
    prepared.compile("sgd", {"one": "mse", "two": "mse"})
    prepared.fit(data, y, verbose=0, callbacks=[ks.Sparsify(Q)])
    plain = ks.strip(prepared)
    for key, value in prepared(data).items():
        np.testing.assert_allclose(plain(data)[key], value, rtol=1e-6, atol=1e-7)


def test_tensors_given_by_name(vectors: Any) -> None:
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Flatten()(inputs=layers.Dense(3, name="d")(inputs=inputs)))
    prepared = ks.prepare(model, Q)
    np.testing.assert_array_equal(prepared(vectors[0]), model(vectors[0]))
    assert "d_range" in [layer.name for layer in prepared.layers]


def test_names_that_are_taken() -> None:
    model = ks.prepare(
        build(layers.Dense(4, name="d"), layers.Dropout(0.1, name="d_range"), layers.Dense(4, name="e"), shape=(4,)), Q
    )
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    assert {"d", "d_range", "d_range_2", "e"} <= set(names)


# Recipes and models that are refused, or returned as they are


def test_without_a_rule_any_model_is_returned_as_it_is(mlp: Any) -> None:
    class Mine(keras.Model):
        pass

    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.5), ks.OneShot(0))])
    for model in (mlp(), Mine(), keras.Sequential([layers.Dense(2)])):
        assert ks.prepare(model, recipe) is model


def test_prepared_twice_is_refused(mlp: Any) -> None:
    prepared = ks.prepare(mlp(), Q)
    with pytest.raises(ValueError, match="prepared already"):
        ks.prepare(prepared, Q)


@pytest.mark.parametrize("match", ["conv*/kernel", "dense1/bias", "bn/*"])
def test_a_rule_that_matches_nothing_is_refused(match: str, mlp: Any) -> None:
    with pytest.raises(ValueError, match=r"Only Dense.* can be int8, and .*dense1/kernel.*dense2/kernel"):
        ks.prepare(mlp(), ks.Recipe([ks.Quantize(match=match)]))


def test_a_model_without_a_graph_is_refused() -> None:
    class Mine(keras.Model):
        pass

    with pytest.raises(ValueError, match="functional or Sequential model was required"):
        ks.prepare(Mine(), Q)
    with pytest.raises(ValueError, match="is not built"):
        ks.prepare(keras.Sequential([layers.Dense(2)]), Q)
    with pytest.raises(TypeError, match="recipe must be a Recipe"):
        ks.prepare(build(layers.Dense(2)), ks.Quantize())


class Doubling(keras.Model):
    """A functional subclass that trains in its own way."""

    def train_step(self, data):
        self.steps = getattr(self, "steps", 0) + 1
        return super().train_step(data)


def test_a_functional_subclass_keeps_its_own_train_step():
    inputs = keras.Input((4,))
    model = Doubling(inputs, keras.layers.Dense(3)(inputs))
    prepared = ks.prepare(model, ks.Recipe([ks.Quantize()]))
    assert type(prepared).train_step is type(model).train_step
    prepared.compile("sgd", "mse", jit_compile=False)
    prepared.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    assert prepared.steps > 0


def test_a_train_step_that_would_be_lost_is_refused():
    class Own(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    with pytest.raises(ValueError, match="Own has its own train_step"):
        ks.prepare(Own([keras.Input((4,)), keras.layers.Dense(3)]), ks.Recipe([ks.Quantize()]))


def test_a_lambda_layer_stays_as_it_is_and_is_float():
    inputs = keras.Input((4,))
    x = keras.layers.Lambda(lambda t: t * 2.0, name="double")(keras.layers.Dense(3, name="first")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="second")(x))
    prepared = ks.prepare(model, ks.Recipe([ks.Quantize()]))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    np.testing.assert_array_equal(prepared.predict(x, verbose=0), model.predict(x, verbose=0))
    assert {"first_range", "double_range", "second_range"} <= {layer.name for layer in prepared.layers}
