from __future__ import annotations

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.target import TARGETS

SIZE = 1024


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [
            keras.Input((SIZE,), name="x"),
            layers.Dense(SIZE, activation="relu", name="large"),
            layers.Dense(12, activation="relu", name="small"),
            layers.Dense(5, name="scores"),
        ]
    )


@pytest.mark.parametrize("quantize", [None, "int8", "int8-weights", "float16", "float32"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_target_explains_every_scheme(model, target, quantize):
    report = ks.explain(model, target, quantize)
    assert [each.name.split("/")[-2] for each in report.layers] == ["large", "small", "scores"]
    assert {each.scheme for each in report.layers} == {quantize or "float32"}
    assert report.faults == {} and target in str(report)
    again = json.loads(json.dumps(report.to_dict()))
    assert again["target"] == target and len(again["layers"]) == 3
    for each in report.layers:
        assert each.pattern is not None or each.reasons
        assert (
            each.bytes == SIZE * 12 * {"int8": 1, "int8-weights": 1, "float16": 2}.get(quantize, 4)
            or each.shape[1] != 12
        )
        for gain in each.gains:
            assert gain.source and gain.repeat and gain.basis in ("measured", "cited", "computed")


def test_what_is_measured_is_told_with_its_source_and_conditions(model):
    large, small, _ = ks.explain(model, "litert-x86", "int8-weights").layers
    assert (large.kernel, large.then_kernel) == ("dense int8-weights", "TFLite block kernel 1x16, int8-weights")
    assert (large.pattern, large.advised_sparsity, large.pays) == ("Block((1, 16), 0.9)", 0.9, True)
    cached, memory = large.gains
    assert (cached.condition, memory.condition) == ("cached", "from memory")
    assert large.break_even == cached.break_even > memory.break_even
    assert 0.75 < large.break_even < 0.8 and cached.at[0] == pytest.approx(dict(cached.points)[0.9])
    assert "benchmarks/block_kernels.py --sizes 1024" in cached.repeat and not cached.interpolated
    assert small.pattern is None and "under 262144 weights" in small.reasons[0]


def test_the_printed_table_has_every_note_once(model):
    lines = str(ks.explain(model, "litert-arm64", "int8-weights")).splitlines()
    text = " ".join(" ".join(lines).split())
    assert text.count("has not been measured") == 1
    assert "not measured" in text and "1x16 9" in text
    numbered = [line for line in lines if line[0].isdigit()]
    assert [line.split(":")[0] for line in numbered] == ["1", "2"]


def test_a_prepared_model_is_explained_as_int8_before_it_is_trained(model):
    prepared = ks.prepare(model, ks.Recipe([ks.Quantize(match="large/*")]))
    report = ks.explain(prepared, "litert")
    assert [each.scheme for each in report.layers] == ["int8", "float32", "float32"]
    assert "stays float32: the Quantize rule does not match it" in report.layers[1].reasons


def test_models_are_read_from_files_too(model, tmp_path):
    model.save(tmp_path / "m.keras")
    report = ks.explain(tmp_path / "m.keras", "packed")
    assert report.model.endswith("m.keras") and len(report.layers) == 3


def test_files_say_what_they_store(model, tmp_path):
    model = keras.Sequential([keras.Input((64,), name="x"), layers.Dense(32, name="d")])
    model.layers[0].kernel.assign(np.kron(np.eye(4, 2), np.ones((16, 16))))
    artifact = ks.export(model, tmp_path / "m.tflite")
    (layer,) = ks.explain(artifact.path, "litert-arm64").layers
    assert (layer.kernel, layer.stored_as, layer.sparsity, layer.bytes) == ("dense float32", "dense", 0.75, 64 * 32 * 4)
    assert layer.version is not None
    onnx = ks.export(model, tmp_path / "m.onnx", target="tensorrt")
    assert onnx.target == "tensorrt"
    (layer,) = ks.explain(onnx.path, "tensorrt").layers
    assert layer.zeros == 1536 and "float32" in layer.reasons[0]
    assert ks.explain(onnx.path, "packed").layers[0].buys == "size"


def test_what_cannot_be_explained_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="Unknown target"):
        ks.explain(model, "coreml")
    with pytest.raises(ValueError, match="quantize must be one of"):
        ks.explain(model, "litert", "int4")
    with pytest.raises(TypeError, match="Keras model or the path of a file"):
        ks.explain(3, "litert")
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.tflite"):
        ks.explain(tmp_path / "none.tflite", "litert")
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\x00\x00\x00\x00TFL3")
    with pytest.raises(ValueError, match=r"tensorrt takes models and \.onnx and \.keras files"):
        ks.explain(path, "tensorrt")
    with pytest.raises(ValueError, match="quantize is for models"):
        ks.explain(path, "litert", "int8")
    with pytest.raises(ValueError, match="damaged"):
        ks.explain(path, "litert")


def test_mobilenet_says_which_condition_fails_first():
    model = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(32, 32, 3), classes=10)
    report = ks.explain(model, "litert-arm64")
    assert len(report.layers) == 28
    first = next(each for each in report.layers if each.name == "conv_pw_1/kernel")
    assert first.pattern is None and "conv1 is padded by ((0, 1), (0, 1))" in first.reasons[0]
    report = ks.explain(model, "tensorrt", "int8")
    assert sum(each.pattern == "2:4" for each in report.layers) == 14  # all but the entry and the 13 depthwise ones
    # The names of several layers that say the same are one note.
    assert str(ks.explain(model, "litert-x86")).count("switched off on x86") == 1


@pytest.mark.parametrize("name", ["ad01", "pretrainedResnet"])
def test_models_of_mlperf_tiny(shared, name):
    model = keras.models.load_model(shared / "models" / "mlperf-tiny" / f"{name}.h5", compile=False)
    for target in TARGETS:
        for quantize in ("int8", None):
            report = ks.explain(model, target, quantize)
            assert len(report.layers) == 10
    assert not any(each.pays for each in ks.explain(model, "litert-x86", "int8").layers)
    file = (
        shared / "models" / "mlperf-tiny" / ("ad01_int8.tflite" if name == "ad01" else "pretrainedResnet_quant.tflite")
    )
    report = ks.explain(file, "litert")
    assert {each.kernel for each in report.layers} == {"dense int8"} and report.faults == {}


def mlp(*sizes):
    return keras.Sequential([keras.Input((1024,)), *(layers.Dense(n, name=f"d{i}") for i, n in enumerate(sizes))])


def to_blocks(kernel):
    kernel.assign(np.where(np.arange(1024)[:, None] < 96, kernel.numpy(), 0))


@pytest.mark.parametrize(("sizes", "pruned"), [((1024, 10), (0,)), ((1024, 1024, 10), (0,)), ((1024, 200), (0,))])
def test_kernels_beside_each_other_are_what_export_then_writes(sizes, pruned, tmp_path):
    """Small ones in float beside blocks; no blocks beside large ones that are dense, by shape or as they are."""
    model = mlp(*sizes)
    for index in pruned:
        to_blocks(model.layers[index].kernel)
    promised = ks.explain(model, "litert-x86", quantize="int8-weights").layers
    ks.export(model, tmp_path / "m.tflite", "litert-x86", quantize="int8-weights")
    found = ks.explain(tmp_path / "m.tflite", "litert-x86").layers
    assert [each.kernel for each in promised] == [each.kernel for each in found]


def test_block_kernels_are_not_recommended_beside_a_frozen_layer_that_stays_dense():
    model = mlp(1024, 1024)
    model.layers[0].trainable = False
    recipe = ks.recommend(model, "litert-x86", "latency")
    assert recipe.export_arguments.get("quantize") != "int8-weights"
    model.layers[0].trainable = True
    recipe = ks.recommend(model, "litert-x86", "latency")
    assert recipe.export_arguments["quantize"] == "int8-weights"


@pytest.mark.parametrize("target", TARGETS)
def test_tables_fit_80_columns_and_no_cell_is_a_riddle(model, target):
    for quantize in ("int8", "int8-weights"):
        text = str(ks.explain(model, target, quantize))
        assert max(len(line) for line in text.splitlines() if "://" not in line) <= 80  # addresses stay whole
        assert "?" not in text
        notes = [line.split(": ", 1)[1] for line in text.splitlines() if line[0].isdigit() and ": " in line]
        assert len(notes) == len(set(notes))


def test_where_nothing_pays_one_line_says_so(model):
    assert "nothing pays here: no zeros" in " ".join(str(ks.explain(model, "onnxruntime")).split())
    large = mlp(1024)
    assert "pays here" not in str(ks.explain(large, "litert-x86", "int8-weights"))
    assert "nothing is known to pay here" in str(ks.explain(large, "litert", "int8-weights"))


def test_a_cnn_outside_the_pattern_is_told_what_to_change_and_that_is_right():
    def cnn(*begin):
        body = [layers.ReLU(), layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(16, 1, name="point")]
        return keras.Sequential([keras.Input((16, 16, 3)), *begin, *body, layers.GlobalAveragePooling2D()])

    outside = cnn(layers.Conv2D(8, 5, strides=2))
    point = next(each for each in ks.explain(outside, "litert-arm64").layers if "point" in each.name)
    assert point.pattern is None
    assert "begin with ZeroPadding2D(1) and Conv2D(n, 3, strides=2) on 3 channels" in " ".join(point.reasons)
    inside = cnn(layers.ZeroPadding2D(1), layers.Conv2D(8, 3, strides=2))
    point = next(each for each in ks.explain(inside, "litert-arm64").layers if "point" in each.name)
    assert point.then_kernel == "XNNPACK sparse (SpMM)"
