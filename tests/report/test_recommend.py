from __future__ import annotations

import keras
import numpy as np
import pytest
import yaml
from keras import layers

import keras_sparse as ks
from keras_sparse.target import TARGETS
from keras_sparse.train import kernels


def mlp(size=1024, depth=2):
    hidden = [layers.Dense(size, activation="relu", name=f"hidden{i}") for i in range(depth)]
    return keras.Sequential([keras.Input((size,), name="x"), *hidden, layers.Dense(3, name="scores")])


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.ZeroPadding2D(1),
            layers.Conv2D(8, 3, strides=2, activation="relu", name="entry"),
            layers.Conv2D(16, 1, activation="relu", name="point"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, name="scores"),
        ]
    )


def fitted(model, recipe, shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, *shape)).astype(np.float32), rng.normal(size=(64, 3)).astype(np.float32)
    model = ks.prepare(model, recipe)
    model.compile(keras.optimizers.SGD(0.001), "mse")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[ks.Sparsify(recipe)])
    return model, x


@pytest.mark.parametrize("goal", ["latency", "size"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_recommendation_is_a_recipe_that_yaml_keeps(target, goal, tmp_path):
    model = cnn()
    if (target, goal) == ("packed", "latency"):
        with pytest.raises(ValueError, match="packed is about bytes"):
            ks.recommend(model, target, goal)
        return
    recipe = ks.recommend(model, target, goal)
    assert isinstance(recipe, ks.Recipe) and len(recipe.reasons) == len(recipe.rules) and all(recipe.reasons)
    recipe.save(tmp_path / "recipe.yaml")
    text = (tmp_path / "recipe.yaml").read_text()
    assert ks.Recipe.load(tmp_path / "recipe.yaml") == recipe and text == str(recipe)
    comments = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
    for said in (*recipe.heading, *recipe.reasons):
        assert " ".join(said.split()) in comments
    assert max(map(len, text.splitlines())) <= 120
    assert yaml.safe_load(text) == recipe.to_dict()


def test_large_dense_layers_get_the_blocks_that_pay():
    recipe = ks.recommend(mlp(), "litert-x86", "latency")
    (rule,) = recipe.rules
    assert (rule.pattern, rule.match) == (ks.Block((1, 16), 0.9), ["hidden0/kernel", "hidden1/kernel"])
    assert recipe.export_arguments == {"target": "litert-x86", "quantize": "int8-weights"}
    assert "measured" in recipe.reasons[0] and "block_kernels.py" in recipe.reasons[0]
    assert any("scores/kernel" in said for said in recipe.heading)


def test_where_nothing_pays_it_says_so_and_is_dense_int8():
    for model in (mlp(128), cnn()):
        recipe = ks.recommend(model, "litert", "latency")
        (rule,) = recipe.rules
        assert isinstance(rule, ks.Quantize)
        assert any("No zeros make" in said for said in recipe.heading)
        assert recipe.export_arguments == {"target": "litert"}
    assert any("no int8 sparse kernel on any processor" in said for said in recipe.heading)


def test_what_was_not_measured_is_not_recommended():
    assert ks.recommend(mlp(), "litert-arm64", "latency").prune == ()
    everywhere = ks.recommend(mlp(), "litert", "latency")
    assert everywhere.prune == () and any("AArch64" in said for said in everywhere.heading)
    assert ks.recommend(mlp(), "openvino", "latency").prune == ()


def test_blocks_for_one_layer_do_not_make_the_convolutions_slower():
    """Hybrid convolutions are slower than static int8 ones, so the Dense layer gets the static kernel's blocks."""
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(64, 3, padding="same", name="c")(inputs)
    x = layers.Conv2D(1024, 3, strides=2, padding="same", name="work")(x)
    x = layers.Dense(1024, name="large")(layers.GlobalAveragePooling2D()(x))
    recipe = ks.recommend(keras.Model(inputs, x), "litert-x86", "latency")
    assert "quantize" not in recipe.export_arguments and recipe.quantize is not None
    (rule,) = recipe.prune
    assert (rule.pattern, rule.match) == (ks.Block((1, 16), 0.95), ["large/kernel"])


def test_tensorrt_gets_two_of_four_where_it_fits():
    recipe = ks.recommend(cnn(), "tensorrt", "latency")
    (rule,) = recipe.prune
    assert (rule.pattern, rule.match) == (ks.NofM(2, 4), ["point/kernel", "scores/kernel"])
    assert any("entry/kernel" in said and "multiple of 4" in said for said in recipe.heading)
    assert "cited" in recipe.reasons[0]


def test_size_prunes_the_kernels_that_hold_the_weights():
    recipe = ks.recommend(mlp(256), "packed", "size")
    (rule,) = recipe.prune
    assert (rule.pattern, rule.match) == (ks.Unstructured(0.9), ["hidden0/kernel", "hidden1/kernel"])
    assert "1.27 bits" in recipe.reasons[0] and recipe.quantize is not None and recipe.export_arguments == {}


def test_a_model_that_int8_does_not_take_is_pruned_in_float():
    model = keras.Sequential([keras.Input((5, 32)), layers.LSTM(32, name="rnn")])
    recipe = ks.recommend(model, "packed", "size")
    assert recipe.quantize is None and recipe.prune[0].match == "*"
    with pytest.raises(ValueError, match=r"nothing to recommend .* no zeros pay, and no layer can be int8.*LSTMCell"):
        ks.recommend(model, "litert", "latency")


def test_frozen_kernels_are_left_alone():
    model = mlp()
    model.get_layer("hidden0").trainable = False
    recipe = ks.recommend(model, "litert-x86", "latency")
    assert recipe.prune[0].match == ["hidden1/kernel"]
    assert any("not trainable" in said for said in recipe.heading)


def test_globs_name_one_kernel_each_whatever_its_name():
    inner = keras.Sequential([keras.Input((64,)), layers.Dense(64, name="d")], name="inner")
    outer = keras.Sequential([keras.Input((64,)), inner, layers.Dense(64, name="d"), layers.Dense(2, name="s[1]")])
    recipe = ks.recommend(outer, "packed", "size")
    (rule,) = recipe.prune
    from keras_sparse.recipe import matches

    matched = [k.path for k in kernels.find(outer) if matches(rule.match, k.path)]
    assert [path.split("/")[-2] for path in matched] == ["d", "d"]


def test_where_int8_needs_no_training_it_does_not_say_that_there_is_no_int8():
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, inputs):
            return self.dense(inputs)

    model = Two()
    model(np.zeros((1, 8), "float32"))
    with pytest.raises(ValueError, match=r"no zeros pay, and int8 needs no training\..*quantize=\"int8\""):
        ks.recommend(model, "onnxruntime", "latency")


def test_what_is_unknown_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Unknown goal. Known ones: \['latency', 'size'\]. Received: goal='speed'"):
        ks.recommend(mlp(16), "litert", "speed")
    with pytest.raises(ValueError, match="Unknown target"):
        ks.recommend(mlp(16), "coreml", "size")
    with pytest.raises(ValueError, match=r"\.keras file was expected"):
        ks.recommend(tmp_path / "m.tflite", "litert", "size")
    with pytest.raises(TypeError, match="Keras model"):
        ks.recommend(None, "litert", "size")


@pytest.mark.parametrize(("target", "suffix"), [("litert", ".tflite"), ("tensorrt", ".onnx")])
def test_a_recommended_recipe_trains_exports_and_is_found_in_the_file(target, suffix, tmp_path):
    recipe = ks.recommend(cnn(), target, "latency")
    model, x = fitted(cnn(), recipe, (8, 8, 3))
    artifact = ks.export(model, tmp_path / f"m{suffix}", samples=x, **recipe.export_arguments)
    assert artifact.target == target and artifact.report.scheme == "int8"
    found = {each.shape: each.kernel for each in ks.explain(artifact.path, target).layers}
    if target == "litert":
        assert set(found.values()) == {"dense int8"}
    else:
        assert found[1, 16, 8] == found[1, 3, 16] == "sparse tensor cores (2:4)" and found[9, 8, 3] == "dense int8"


def test_a_model_trained_to_blocks_is_promised_the_block_kernel():
    recipe = ks.recommend(mlp(), "litert-x86", "latency")
    model, _ = fitted(mlp(), recipe, (1024,))
    report = ks.explain(model, "litert-x86", recipe.export_arguments["quantize"])
    assert [each.kernel for each in report.layers] == [
        *["TFLite block kernel 1x16, int8-weights"] * 2,
        "dense float32",
    ]


@pytest.mark.parametrize("name", ["ad01", "pretrainedResnet"])
def test_models_of_mlperf_tiny(shared, name):
    model = keras.models.load_model(shared / "models" / "mlperf-tiny" / f"{name}.h5", compile=False)
    assert ks.recommend(model, "litert", "latency").prune == ()
    recipe = ks.recommend(model, "litert", "size")
    ks.prepare(model, recipe)
    assert len(recipe.prune) == 1


@pytest.mark.slow
def test_the_recommended_blocks_are_in_the_verified_file_and_explain_said_so(tmp_path):
    """From recommend to the kernels of the file, for layers that are large enough to gain."""
    model = mlp()
    recipe = ks.recommend(model, "litert-x86", "latency")
    model, x = fitted(model, recipe, (1024,))
    artifact = ks.export(model, tmp_path / "model.tflite", samples=x, **recipe.export_arguments)
    forms = {each.name: each.encoding for each in artifact.report.tensors}
    assert list(forms.values()) == ["block 1x16", "block 1x16", "dense"]
    assert {each.runtime for each in artifact.report.verification} == {"LiteRT", "LiteRT without delegates"}
    assert all(each.problem is None and each.rms <= each.rms_tolerance for each in artifact.report.verification)
    promised = ks.explain(model, "litert-x86", quantize="int8-weights").layers
    found = ks.explain(tmp_path / "model.tflite", "litert-x86").layers
    assert [each.kernel for each in promised] == [each.kernel for each in found]
    assert {each.name for each in promised if "block kernel" in each.kernel} == {
        name for name, form in forms.items() if form.startswith("block")
    }
