"""The pattern of XNNPACK's sparse kernels: models that miss it by form only are brought into it."""

from __future__ import annotations

import json
import re
import subprocess

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import tflite_model, tflite_network
from keras_sparse.exporting.tflite_model import Graph
from keras_sparse.runtime import emulated
from keras_sparse.targets import xnnpack_cnn


def cnn(size=33, zeros=0.85, channels=32):
    """Entry, two separable blocks, one of them with stride 2, and a mean that drops its axes: "same" throughout."""
    inputs = x = keras.Input((size, size, 3), name="x")
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    for filters, stride in ((channels, 1), (2 * channels, 2)):
        x = layers.ReLU(6)(layers.DepthwiseConv2D(3, strides=stride, padding="same")(x))
        x = layers.Conv2D(filters, 1, activation="relu", name=f"point{filters}")(x)
        if stride == 1:
            x = layers.Add()([x, layers.Conv2D(filters, 1, name="side")(x)])
    model = keras.Model(inputs, layers.Dense(5, name="scores")(layers.GlobalAveragePooling2D()(x)))
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            kept = generator.random(layer.kernel.shape) >= zeros
            layer.kernel.assign(np.where(kept, generator.normal(size=kept.shape), 0.0))
    return model


def export(model, path, **options):
    x = np.random.default_rng(1).normal(size=(8, *model.input_shape[1:])).astype("float32")
    return ks.export(model, path, samples=x, **options).report


def network(path):
    return tflite_network.of(Graph(tflite_model.load(path.read_bytes())))


@pytest.mark.parametrize(("quantize", "target"), [(None, "litert"), ("float16", "litert-arm64")])
def test_what_misses_the_pattern_by_form_is_in_it(tmp_path, quantize, target):
    path = tmp_path / "m.tflite"
    export(cnn(), path, quantize=quantize, target=target, encoding="dense")
    (before,) = xnnpack_cnn.analyse(network(path)).clusters
    assert before.rewrites
    report = export(cnn(), path, quantize=quantize, target=target)
    (after,) = xnnpack_cnn.analyse(network(path)).clusters
    assert not after.rewrites and len(after.convs) == 3
    stored = {each.name.split("/")[-2]: each for each in report.tensors}
    assert all(stored[name].encoding.startswith("csr") for name in ("point32", "point64", "side"))
    assert stored["scores"].encoding == "dense" and "sparse kernels" in stored["side"].why


def test_int8_weights_are_stored_so_where_it_is_asked_for(tmp_path):
    path = tmp_path / "m.tflite"
    dense = export(cnn(channels=64), path, quantize="int8-weights", target="litert-arm64")
    assert {each.encoding for each in dense.tensors} == {"dense"}  # faster than sparse float kernels
    report = export(cnn(channels=64), path, quantize="int8-weights", target="litert-arm64", encoding="csr")
    (cluster,) = xnnpack_cnn.analyse(network(path)).clusters
    assert not cluster.rewrites
    assert {each.dtype for each in report.tensors} == {"int8"}
    kinds = [Graph(tflite_model.load(path.read_bytes()))]
    names = [kinds[0].name(op) for op in kinds[0].operators]
    assert names.count("DENSIFY") >= 3 and names.count("PAD") >= 2 and "MEAN" in names


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (lambda: cnn(zeros=0.6), {}),
        (lambda: cnn(size=32), {}),
        (cnn, {"target": "litert-x86"}),
        (cnn, {"encoding": "dense"}),
    ],
    ids=["too few zeros", "padded on one side", "another processor", "dense asked for"],
)
def test_nothing_is_rewritten_for_nothing(tmp_path, model, options):
    path = tmp_path / "m.tflite"
    report = export(model(), path, **options)
    assert {each.encoding for each in report.tensors} == {"dense"}
    names = [Graph(tflite_model.load(path.read_bytes()))]
    assert "PAD" not in [names[0].name(op) for op in names[0].operators]


SCRIPT = """
import json, sys, time
from ai_edge_litert.interpreter import Interpreter
def seconds(path):
    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.invoke()
    start = time.perf_counter()
    for _ in range(3):
        interpreter.invoke()
    return time.perf_counter() - start
print(json.dumps([seconds(path) for path in sys.argv[1:]]))
"""


@pytest.mark.slow
def test_the_sparse_kernels_run_on_aarch64(shared, tmp_path, monkeypatch):
    """They do a fraction of the work, which even an emulated processor shows."""
    emulator = str(shared / "tools/arm64run")
    forms = {"dense": {"encoding": "dense"}, "sparse": {}, "int8": {"encoding": "csr", "quantize": "int8-weights"}}
    for name, options in forms.items():
        if name == "int8":  # of the three, the one with most between the file and the kernels is verified there
            monkeypatch.setenv(emulated.VARIABLE, emulator)
        report = export(cnn(65, 0.9, 128), tmp_path / f"{name}.tflite", target="litert-arm64", **options)
    assert "LiteRT on AArch64 (emulated)" in [each.runtime for each in report.verification]
    (tmp_path / "script.py").write_text(SCRIPT)
    puts = [part for name in forms for part in ("--put", tmp_path / f"{name}.tflite")]
    command = [
        emulator,
        *puts,
        "--",
        tmp_path / "script.py",
        *(f"{name}.tflite" for name in forms),
    ]
    ran = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=True)
    dense, sparse, int8 = json.loads(re.findall(r"^\[.*\]$", ran.stdout, re.M)[-1])
    assert dense > 2 * sparse and dense > 2 * int8
