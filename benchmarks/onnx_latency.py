"""Latency of our int8 ONNX files against those of onnxruntime.quantization, in ONNX Runtime.

    python benchmarks/onnx_latency.py [--rounds 300] [--json onnx_latency.json]

Each network is exported twice from the same weights, calibrated on the same samples: by `ks.export(quantize="int8")`,
and as float, which `quantize_static` (QDQ, weights per channel) then quantizes after its own preprocessing, once with
uint8 activations as for x86 and once with int8 ones, its default. Prints medians of interleaved rounds, and the median
ratio, round by round, of ours to each of theirs.
"""

import argparse
import itertools
import json
import os
import platform
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnxruntime
from keras import layers
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from rich.console import Console
from rich.table import Table

import keras_sparse as ks

SAMPLES = 64
ACTIVATIONS = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


def ds_cnn():
    """The depthwise-separable network of `keras-sparse demo`."""
    inputs = keras.Input((28, 28, 1), name="input")
    x = layers.ZeroPadding2D(1)(inputs)
    x = normalized(x, layers.Conv2D(40, 3, strides=2, use_bias=False))
    for channels, stride in ((80, 2), (120, 1), (160, 2), (160, 1)):
        if stride == 2:
            x = layers.ZeroPadding2D(1)(x)
        padding = "valid" if stride == 2 else "same"
        x = normalized(x, layers.DepthwiseConv2D(3, strides=stride, padding=padding, use_bias=False))
        x = normalized(x, layers.Conv2D(channels, 1, use_bias=False))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def resnet8():
    """The residual network of MLPerf Tiny."""
    inputs = keras.Input((32, 32, 3), name="input")
    x = normalized(inputs, layers.Conv2D(16, 3, padding="same"))
    for channels, stride in ((16, 1), (32, 2), (64, 2)):
        y = normalized(x, layers.Conv2D(channels, 3, strides=stride, padding="same"))
        y = layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same")(y))
        x = layers.Conv2D(channels, 1, strides=stride, padding="same")(x) if stride > 1 else x
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def mobilenet_v2():
    inputs = keras.Input((96, 96, 3), name="input")
    return keras.applications.MobileNetV2(input_tensor=inputs, alpha=0.35, weights=None, classes=10)


def mlp():
    inputs = keras.Input((1024,), name="input")
    x = inputs
    for activation in ("relu", "relu", "relu", None):
        x = layers.Dense(1024, activation=activation)(x)
    return keras.Model(inputs, x)


def normalized(x, layer):
    return layers.ReLU()(layers.BatchNormalization()(layer(x)))


NETS = {
    "DS-CNN, 28x28x1": ds_cnn,
    "ResNet-8, 32x32x3": resnet8,
    "MobileNetV2 0.35, 96x96x3": mobilenet_v2,
    "4 x Dense(1024)": mlp,
}


def trained(model):
    """Biases and batch norms as training leaves them: at 0 and 1 a converter would drop them."""
    generator = np.random.default_rng(1)
    for variable in model.weights:
        if variable.name in ("bias", "beta", "moving_mean"):
            variable.assign(generator.normal(0, 0.1, variable.shape))
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(generator.uniform(0.5, 1.5, variable.shape))
    return model


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.items = iter(samples)

    def get_next(self):
        item = next(self.items, None)
        return None if item is None else {"input": item[None]}


def measured(build, folder, rounds):
    model = trained(build())
    samples = np.random.default_rng(0).normal(size=(SAMPLES, *model.input_shape[1:])).astype("float32")
    ours = ks.export(model, folder / "ours.onnx", samples=samples, quantize="int8").path
    source = ks.export(model, folder / "float.onnx", samples=samples).path
    # Shapes are known already, so that its symbolic inference has nothing to add (and would need SymPy).
    quant_pre_process(str(source), str(folder / "ready.onnx"), skip_symbolic_shape=True)
    others = {"float": source}
    for name, kind in ACTIVATIONS.items():
        others[name] = folder / f"{name}.onnx"
        quantize_static(
            str(folder / "ready.onnx"),
            str(others[name]),
            Reader(samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=kind,
            weight_type=QuantType.QInt8,
        )
    return {name: against(ours, path, rounds) for name, path in others.items()}


def against(ours, theirs, rounds):
    """In pairs: what ran before a file decides how warm the caches are, and is the other file of the pair for both."""
    other, own = ks.benchmark([theirs, ours], rounds=rounds).files
    return {"ours_us": 1e6 * own.latency, "theirs_us": 1e6 * other.latency, "ratio": 1 / own.speedup}


def processor():
    """The processor's name, where the system tells it."""
    found = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in found.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main(rounds, path):
    figures = {}
    for name, build in NETS.items():
        keras.utils.set_random_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            figures[name] = measured(build, Path(folder), rounds)
    machine = f"{processor()}, ONNX Runtime {onnxruntime.__version__}"
    table = Table(title=f"int8 in ONNX Runtime, batch 1, 1 thread, {rounds} rounds, {machine}")
    table.add_column("network")
    for name in ("float", *(f"{kind} activations" for kind in ACTIVATIONS)):
        table.add_column(f"{name}\ntheirs / ours us", justify="right")
        table.add_column("ours /\ntheirs", justify="right")
    for name, each in figures.items():
        cells = ((f"{x['theirs_us']:.1f} / {x['ours_us']:.1f}", f"{x['ratio']:.3f}x") for x in each.values())
        table.add_row(name, *itertools.chain(*cells))
    Console(width=120).print(table)
    with open(path, "w") as file:
        json.dump({"rounds": rounds, "cores": os.cpu_count(), "machine": machine, "networks": figures}, file, indent=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", default="onnx_latency.json")
    options = parser.parse_args()
    main(options.rounds, options.json)
