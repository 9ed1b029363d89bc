"""From a Keras model to a verified file, in the real runtimes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import check
from keras_sparse.exporting import export as exporting
from keras_sparse.runtime import isolated

SUFFIXES = (".tflite", ".onnx")


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestTrainedModel:
    def test_every_kernel_is_in_the_file_with_exactly_its_zeros(self, files, parts, suffix):
        reported = {tensor.name: tensor for tensor in files[suffix].report.tensors}
        assert list(reported) == [tensor.name for tensor in parts.tensors]
        for tensor in parts.tensors:
            assert reported[tensor.name].zeros == tensor.zeros
            assert reported[tensor.name].dtype == "int8"
        assert reported["hidden/kernel"].sparsity == 0.75
        assert reported["pw/kernel"].sparsity == 0.5

    def test_nothing_that_computes_stays_float(self, files, suffix):
        # ONNX Runtime has no int8 softmax that the graph could ask for.
        allowed = {".tflite": (), ".onnx": ("Softmax (output)",)}[suffix]
        assert files[suffix].report.float_operations == allowed
        assert files[suffix].report.float_layers == {}

    def test_the_file_says_what_the_model_says(self, files, trained, suffix):
        made = isolated.run(files[suffix].path, [trained.x])[0]
        wanted = trained.model.predict(trained.x, verbose=0)
        assert np.mean(made.argmax(1) == wanted.argmax(1)) > 0.97
        assert np.abs(made - wanted).max() < 0.05

    def test_sizes_are_those_of_the_file(self, files, suffix):
        report = files[suffix].report
        assert report.bytes == files[suffix].path.stat().st_size
        assert 0 < report.bytes_gzip < report.bytes
        assert report.to_dict()["bytes"] == report.bytes
        assert "hidden/kernel" in str(files[suffix])

    def test_a_stripped_saved_and_loaded_model_gives_the_same_bytes_of_weights(self, trained, files, suffix, tmp_path):
        ks.strip(trained.model).save(tmp_path / "plain.keras")
        plain = keras.models.load_model(tmp_path / "plain.keras")
        again = ks.export(plain, tmp_path / f"again{suffix}", samples=trained.x)
        zeros = [tensor.zeros for tensor in files[suffix].report.tensors]
        assert [tensor.zeros for tensor in again.report.tensors] == zeros
        assert again.report.scheme == "int8"

    def test_without_samples_random_inputs_are_used_and_said(self, trained, suffix, tmp_path):
        report = ks.export(trained.model, tmp_path / f"m{suffix}").report
        assert {each.source for each in report.verification} == {"random inputs"}

    def test_a_float_model_stays_float(self, trained, suffix, tmp_path):
        report = ks.export(trained.dense, tmp_path / f"m{suffix}", samples=trained.x).report
        assert report.scheme == "float32"
        assert all(each.largest < 1e-4 for each in report.verification)

    def test_int8_calibrates_a_float_model(self, trained, suffix, tmp_path):
        report = ks.export(trained.dense, tmp_path / f"m{suffix}", samples=trained.x, quantize="int8").report
        assert report.scheme == "int8"
        assert {tensor.dtype for tensor in report.tensors} == {"int8"}


def test_litert_is_tried_with_and_without_delegates(files):
    assert [v.runtime for v in files[".tflite"].report.verification][:2] == ["LiteRT", "LiteRT without delegates"]


def test_onnx_runtime_uses_int8_kernels_for_every_layer(files, tmp_path):
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(files[".onnx"].path), options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QLinearConv") == 5
    assert kinds.count("QGemm") == 2
    assert {"QLinearAdd", "QLinearConcat", "QLinearAveragePool"} <= set(kinds)
    assert not {"Conv", "Gemm", "MatMul", "FusedConv", "FusedGemm"} & set(kinds)


def two_in_two_out():
    image, vector = keras.Input((6, 6, 2), name="b_image"), keras.Input((3,), name="a_vector")
    x = layers.Concatenate()([layers.Flatten()(layers.Conv2D(3, 3)(image)), layers.Dense(4)(vector)])
    return keras.Model([image, vector], [layers.Dense(7)(x), layers.Dense(2)(x)])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("quantize", [None, "int8"])
def test_several_inputs_and_outputs_keep_their_places(suffix, quantize, tmp_path):
    generator = np.random.default_rng(0)
    samples = [generator.normal(size=(40, *shape)).astype(np.float32) for shape in ((6, 6, 2), (3,))]
    artifact = ks.export(two_in_two_out(), tmp_path / f"m{suffix}", samples=samples, quantize=quantize)
    outputs = isolated.run(artifact.path, {"b_image": samples[0], "a_vector": samples[1]})
    assert [each.shape for each in outputs] == [(40, 7), (40, 2)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_int8_stays_float_and_is_named(suffix, tmp_path):
    inputs = keras.Input((6, 6, 4))
    x = layers.LayerNormalization(name="norm")(layers.Conv2D(8, 1, name="first")(inputs))
    model = keras.Model(inputs, layers.Conv2D(8, 1, name="second")(x))
    samples = np.random.default_rng(0).normal(size=(64, 6, 6, 4)).astype(np.float32)
    report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize="int8").report
    assert list(report.float_layers) == ["norm"]
    assert any("norm" in each for each in report.float_operations)
    assert [tensor.dtype for tensor in report.tensors] == ["int8", "int8"]


def test_an_all_zero_channel_and_a_negative_batch_norm_scale_keep_their_integers(tmp_path):
    inputs = keras.Input((5, 5, 3))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(inputs))
    model = keras.Model(inputs, x)
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32)
    kernel[..., 1] = 0
    model.get_layer("conv").kernel.assign(kernel)
    model.get_layer("bn").gamma.assign([-1.5, 1.0, 0.5, -0.1])
    samples = np.random.default_rng(1).normal(size=(64, 5, 5, 3)).astype(np.float32)
    for suffix in SUFFIXES:
        report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize="int8").report
        assert report.tensors[0].zeros == 27


def with_another_bias(name):
    """What `_format` gives for `.tflite`, where the layer of that name has another bias in every file."""
    emit, *rest = FORMAT

    def emit_other(what, *options):
        found = [layer for layer in what.model.layers if layer.name == name]
        for layer in found:
            layer.bias.assign(layer.bias + 3.0)
        emitted = emit(what, *options)
        for layer in found:
            layer.bias.assign(layer.bias - 3.0)
        return emitted

    return emit_other, *rest


FORMAT = exporting._format(ks.exporting.export.targets.TARGETS["litert"])


class TestRefusals:
    def test_a_wrong_file_is_not_written_and_its_layer_is_named(self, tmp_path, monkeypatch):
        x = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
        dense = [layers.Dense(8, activation="relu", name=name) for name in ("left", "right", "last")]
        model = keras.Sequential([keras.Input((8,)), *dense])
        monkeypatch.setattr(exporting, "_format", lambda target: with_another_bias("right"))
        with pytest.raises(check.ExportError, match="first layer that shows it is 'right'"):
            ks.export(model, tmp_path / "m.tflite", samples=x, quantize="int8")
        assert list(tmp_path.iterdir()) == []

    def test_the_layer_that_is_named_stands_before_the_wrong_output(self, tmp_path, monkeypatch):
        inputs = keras.Input((4,))
        x = layers.Dense(3, name="after")(layers.Dense(3, name="wrong")(layers.Dense(3, name="before")(inputs)))
        model = keras.Model(inputs, [x, layers.Dense(2, name="last")(layers.Dense(2, name="fine")(inputs))])
        monkeypatch.setattr(exporting, "_format", lambda target: with_another_bias("wrong"))
        with pytest.raises(check.ExportError, match="first layer that shows it is 'wrong'"):
            ks.export(model, tmp_path / "m.tflite")

    def test_operations_without_a_form_are_named(self, tmp_path):
        inputs = keras.Input((6,))
        model = keras.Model(inputs, keras.ops.fft((inputs, inputs))[0])
        with pytest.raises(check.ExportError, match=r"no .tflite form: Complex.* Compute this part"):
            ks.export(model, tmp_path / "m.tflite")

    def test_random_inputs_that_do_not_fit_a_free_size_ask_for_samples(self, tmp_path):
        model = keras.Sequential([keras.Input((None, 3)), layers.Conv1D(4, 3)])
        with pytest.raises(ValueError, match=r"takes any size.*Give samples"):
            ks.export(model, tmp_path / "m.onnx")
        samples = np.random.default_rng(0).normal(size=(8, 5, 3)).astype("float32")
        assert ks.export(model, tmp_path / "m.onnx", samples=samples).report.verification[0].samples == 8

    def test_a_file_there_before_is_kept_when_an_export_fails(self, tmp_path, monkeypatch):
        path = tmp_path / "m.tflite"
        path.write_bytes(b"before")
        monkeypatch.setattr(check, "FLOAT_TOLERANCE", 0.0)
        with pytest.raises(check.ExportError, match="differ from the model's"):
            ks.export(keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="softmax")]), path)
        assert path.read_bytes() == b"before"

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"path": "m.txt"}, "ending in one of"),
            ({"path": "m.onnx", "target": "litert"}, "end in .tflite"),
            ({"path": "m.onnx", "target": "nothing"}, "Known ones"),
            ({"path": "m.onnx", "quantize": "int4"}, "quantize must be one of"),
            ({"path": "m.onnx", "quantize": "int8"}, "samples=None"),
            ({"path": "m.tflite", "encoding": "rle"}, "encoding must be one of"),
            ({"path": "m.onnx", "samples": np.zeros((4, 2, 2, 3), np.float32)}, "takes shape"),
            ({"path": "m.onnx", "samples": np.zeros((0, 12, 12, 3), np.float32)}, "least one sample"),
            ({"path": "m.onnx", "samples": [np.zeros((4, 12, 12, 3))] * 2}, "must be 1 arrays"),
        ],
    )
    def test_bad_arguments(self, trained, tmp_path, arguments, message):
        with pytest.raises(ValueError, match=message):
            ks.export(trained.dense, **{**arguments, "path": tmp_path / arguments["path"]})

    def test_every_target_with_files_is_exported_and_verified(self, tmp_path):
        model = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Dense(4)])
        for each in ks.exporting.export.targets.TARGETS.values():
            if each.suffix is None:
                with pytest.raises(ValueError, match="no files of its own"):
                    ks.export(model, tmp_path / "m.tflite", target=each.name)
                continue
            artifact = ks.export(model, tmp_path / f"{each.name}{each.suffix}", target=each.name)
            runs = {".tflite": ["LiteRT", "LiteRT without delegates"], ".onnx": ["ONNX Runtime"]}[each.suffix]
            assert artifact.target == each.name and artifact.path.is_file()
            assert [v.runtime for v in artifact.report.verification][: len(runs)] == runs

    def test_a_folder_that_is_not_there(self, trained, tmp_path):
        with pytest.raises(FileNotFoundError, match="There is no folder"):
            ks.export(trained.dense, tmp_path / "none" / "m.onnx")

    def test_what_is_no_model(self, tmp_path):
        with pytest.raises(TypeError, match="must be a Keras model"):
            ks.export("model", tmp_path / "m.onnx")

    def test_an_operation_without_onnx_form_is_named(self, tmp_path):
        inputs = keras.Input((4,))
        model = keras.Model(inputs, keras.ops.erfinv(layers.Dense(3)(inputs)))
        with pytest.raises(check.ExportError, match=r"no ONNX form: Erfinv, named '.*erfinv"):
            ks.export(model, tmp_path / "m.onnx")
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ad01.h5", "pretrainedResnet.h5"])
def test_reference_models_become_int8_throughout(shared, tmp_path, name):
    """MLPerf Tiny's anomaly detection (Dense + BatchNorm + ReLU) and image classification (ResNet-8)."""
    model = keras.models.load_model(shared / "models/mlperf-tiny" / name, compile=False)
    low, high = (0, 255) if "Resnet" in name else (-20, 10)
    samples = np.random.default_rng(0).uniform(low, high, (64, *model.input_shape[1:])).astype(np.float32)
    for suffix in SUFFIXES:
        report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize="int8").report
        assert {tensor.dtype for tensor in report.tensors} == {"int8"}
        assert len(report.tensors) == len([v for v in model.weights if v.name == "kernel"])
        assert [each for each in report.float_operations if "Softmax" not in each] == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("pruned", ["a", "c"])
def test_kernels_of_one_shape_are_told_apart(suffix, pruned, tmp_path):
    model = keras.Sequential([keras.Input((16,)), *[layers.Dense(16, name=name) for name in "abc"]])
    recipe = ks.Recipe([ks.Prune(ks.Unstructured(0.75), ks.OneShot(0), match=f"{pruned}/kernel")])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(np.ones((8, 16)), np.ones((8, 16)), verbose=0, callbacks=[ks.Sparsify(recipe)])
    reports = [ks.export(model, tmp_path / f"m{suffix}").report]
    samples = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
    reports.append(ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize="int8").report)
    for report in reports:
        zeros = {tensor.name.split("/")[-2]: tensor.zeros for tensor in report.tensors}
        assert zeros == {name: 192 * (name == pruned) for name in "abc"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("quantize", [None, "float16", "int8-weights"])
def test_a_kernel_of_zeros_is_not_taken_for_its_neighbour(suffix, quantize, tmp_path):
    inputs = keras.Input((8,))
    branches = [layers.Dense(8, name="a"), layers.Dense(8, name="b")]
    model = keras.Model(inputs, layers.Concatenate()([layer(inputs) for layer in branches]))
    branches[1].kernel.assign(np.zeros((8, 8)))
    report = ks.export(model, tmp_path / f"m{suffix}", quantize=quantize).report
    assert {tensor.name: tensor.zeros for tensor in report.tensors} == {"a/kernel": 0, "b/kernel": 64}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("quantize", [None, "int8", "int8-weights", "float16"])
@pytest.mark.parametrize(("weight", "value"), [("kernel", np.nan), ("kernel", np.inf), ("bias", np.nan)])
def test_weights_that_are_no_numbers_are_refused(suffix, quantize, weight, value, tmp_path):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")], name="net")
    variable = getattr(model.layers[1], weight)
    variable.assign(np.full(variable.shape, value))
    with pytest.raises(ValueError, match=rf"finite numbers. Received: net/b/{weight} with (8 of 8|2 of 2) NaN or inf"):
        ks.export(model, tmp_path / f"m{suffix}", samples=np.ones((4, 8), "float32"), quantize=quantize)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("quantize", [None, "int8"])
def test_a_batch_norm_may_silence_a_channel(suffix, quantize, tmp_path):
    inputs = keras.Input((5, 5, 3))
    model = keras.Model(inputs, layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(inputs)))
    model.get_layer("bn").gamma.assign([1.0, 0.0, -2.0, 1.0])
    samples = np.random.default_rng(1).normal(size=(64, 5, 5, 3)).astype("float32")
    report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize=quantize).report
    assert [tensor.name for tensor in report.tensors] == ["conv/kernel"]


def test_kernels_that_are_stored_in_another_form_are_said(tmp_path):
    model = keras.Sequential([keras.Input((4, 3)), layers.LSTM(5, unroll=True), layers.Dense(2)])
    report = ks.export(model, tmp_path / "m.onnx").report
    listed = [tensor.name for tensor in report.tensors] + list(report.not_found)
    assert sorted(name.split("/")[-1] for name in listed) == ["kernel", "kernel", "recurrent_kernel"]


def test_quantization_that_was_never_switched_on_is_an_error(trained, tmp_path):
    prepared = ks.prepare(trained.dense, trained.recipe)
    with pytest.raises(ValueError, match="never switched on"):
        ks.export(prepared, tmp_path / "m.tflite", samples=trained.x)
    assert ks.export(ks.strip(prepared), tmp_path / "m.tflite", samples=trained.x).report.scheme == "float32"


def test_samples_that_are_not_finite_are_refused(trained, tmp_path):
    bad = trained.x.copy()
    bad[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ks.export(trained.dense, tmp_path / "m.onnx", samples=bad)
    with pytest.raises(ValueError, match="must be finite"):
        ks.calibrate(trained.dense, bad)
    with pytest.raises(ValueError, match=r"samples by name are \['image'\]"):
        ks.export(trained.dense, tmp_path / "m.onnx", samples={"picture": trained.x})


@pytest.mark.parametrize("quantize", [None, "int8"])
@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones((8, 5)), ValueError, r"Input 'x' takes shape \(None, 4\). Received: \(8, 5\)"),
        (np.ones((0, 4)), ValueError, "At least one sample"),
        ("x.npy", TypeError, "must be an array"),
        (np.array([["a"] * 4]), ValueError, "must be numbers"),
    ],
)
def test_samples_that_do_not_fit_are_refused_before_anything_is_done(given, error, message, quantize, tmp_path):
    model = keras.Sequential([keras.Input((4,), name="x"), layers.Dense(2)])
    with pytest.raises(error, match=message):
        ks.export(model, tmp_path / "m.tflite", samples=given, quantize=quantize)
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(IsADirectoryError, match=r"folder\.tflite"):
        ks.export(model, tmp_path / "folder.tflite")


def test_samples_by_name_calibrate_the_inputs_of_these_names(tmp_path):
    b, a = keras.Input((4,), name="b"), keras.Input((4,), name="a")
    model = keras.Model([b, a], layers.Dense(3)(layers.Concatenate()([layers.Dense(4)(b), layers.Dense(4)(a)])))
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    samples = {"a": x * 0.01, "b": x * 100}
    plain = ks.strip(ks.calibrate(model, samples))
    assert plain.get_layer("b_range").high > 100 > 1 > plain.get_layer("a_range").high
    ks.export(model, tmp_path / "m.tflite", samples=samples, quantize="int8")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("quantize", ["int8", "int8-weights"])
def test_layers_with_equal_kernels(suffix, quantize, tmp_path):
    model = keras.Sequential([keras.Input((16,)), *[layers.Dense(16, kernel_initializer="ones") for _ in range(2)]])
    samples = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
    report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize=quantize).report
    assert [tensor.dtype for tensor in report.tensors] == ["int8", "int8"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_layers_beside_those_that_have_int8_weights(suffix, tmp_path):
    """All of them side by side: where one is wrong, the error names it."""
    inputs = keras.Input((12, 8))
    beside = [
        layers.Conv1D(6, 3),
        layers.SeparableConv1D(6, 3),
        layers.TimeDistributed(layers.Dense(6)),
        layers.Conv1DTranspose(6, 3),
        layers.EinsumDense("abc,cd->abd", (12, 6)),
    ]
    x = layers.Concatenate()([layers.Flatten()(layer(inputs)) for layer in beside])
    model = keras.Model(inputs, layers.Dense(4, name="head")(x))
    samples = np.random.default_rng(0).normal(size=(16, 12, 8)).astype("float32")
    report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize="int8-weights").report
    assert {t.name.split("/")[-2]: t.dtype for t in report.tensors}["head"] == "int8"


def test_a_model_without_int8_weights_says_so(tmp_path):
    model = keras.Sequential([keras.Input((12, 8)), layers.Conv1D(6, 3)])
    with pytest.raises(ValueError, match="no Dense, Conv2D or DepthwiseConv2D"):
        ks.export(model, tmp_path / "m.tflite", quantize="int8-weights")


def test_a_check_that_shows_nothing_says_so(tmp_path):
    model = keras.Sequential([keras.Input((16,)), layers.Dense(1000, activation="softmax")])
    samples = np.random.default_rng(0).normal(0, 0.01, (32, 16)).astype("float32")
    report = ks.export(model, tmp_path / "m.tflite", samples=samples, quantize="int8").report
    assert not report.verification[0].shows and "ATTENTION: outputs vary by" in str(report)
    assert "ATTENTION" not in str(ks.export(model, tmp_path / "m.tflite", samples=samples).report)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("quantize", [None, "int8", "int8-weights"])
def test_kernels_have_the_names_of_the_model_in_the_file(suffix, quantize, tmp_path):
    body = [layers.Conv2D(4, 3, name="a"), layers.DepthwiseConv2D(3, name="b"), layers.Flatten()]
    model = keras.Sequential([keras.Input((6, 6, 2)), *body, layers.Dense(3, name="c")])
    samples = np.random.default_rng(0).normal(size=(16, 6, 6, 2)).astype("float32")
    report = ks.export(model, tmp_path / f"m{suffix}", samples=samples, quantize=quantize).report
    assert {each.stored_as for each in report.tensors} == {each.name for each in report.tensors}


@pytest.mark.parametrize("name", ["file", "allow_pickle"])
def test_inputs_with_names_of_arguments(name, tmp_path):
    model = keras.Sequential([keras.Input((4,), name=name), layers.Dense(2)])
    assert ks.export(model, tmp_path / "m.tflite").report.scheme == "float32"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_inputs_keep_names_that_tensorflow_cannot_take(suffix, tmp_path):
    a, b = keras.Input((4,), name="my input"), keras.Input((4,), name="_b")
    model = keras.Model([a, b], layers.Dense(3)(layers.Concatenate()([a, 2 * b])))
    path = ks.export(model, tmp_path / f"m{suffix}").path
    given = {"_b": np.ones((1, 4), np.float32), "my input": np.zeros((1, 4), np.float32)}
    wanted = model([given["my input"], given["_b"]])
    np.testing.assert_allclose(isolated.run(path, given)[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
@pytest.mark.parametrize("quantize", [None, "int8", "int8-weights", "float16"])
def test_a_model_in_half_precision_becomes_a_file_of_float32(policy, quantize, tmp_path):
    make = layers.Dense(4, activation="softmax", dtype="float32", name="head")
    inner = keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(8, 3, dtype=policy), layers.Flatten(dtype=policy)])
    model = keras.Sequential([keras.Input((4, 4, 3)), inner, layers.Dense(6, "relu", dtype=policy), make])
    samples = np.random.default_rng(0).normal(size=(32, 4, 4, 3)).astype("float32")
    report = ks.export(model, tmp_path / "m.tflite", samples=samples, quantize=quantize).report
    assert any("float32" in note for note in report.notes) and len(report.tensors) == 3


def test_a_model_quantized_in_half_precision_keeps_its_integers(tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu", dtype="mixed_float16", name="d")])
    samples = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    report = ks.export(ks.calibrate(model, samples), tmp_path / "m.tflite", samples=samples).report
    assert report.scheme == "int8" and [each.dtype for each in report.tensors] == ["int8"]
    prepared = ks.prepare(model, ks.Recipe([ks.Quantize()]))
    with pytest.raises(ValueError, match="never switched on"):
        ks.export(prepared, tmp_path / "m.tflite")


@pytest.mark.parametrize("encoding", ["csr", "block"])
def test_sparse_onnx_is_refused(encoding, tmp_path):
    model = keras.Sequential([keras.Input((16,)), layers.Dense(4)])
    with pytest.raises(ValueError, match="run by no runtime"):
        ks.export(model, tmp_path / "m.onnx", encoding=encoding)
