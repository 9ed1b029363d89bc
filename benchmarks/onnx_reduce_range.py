"""What 7-bit weights cost in int8 `.onnx` files, and what the other ways to be right on every x86-64 processor do.

    python benchmarks/onnx_reduce_range.py [--rounds 200] [--data DIR [--seeds 0 1 2] [--epochs 4] [--train 20000]]

Latency in ONNX Runtime, batch 1, one thread, interleaved, of the networks of `onnx_latency.py`: weights of 7 bits
(`reduce_range=True`, the default); 8 bits as other exporters write them, which processors without VNNI compute wrongly;
the same with the session option `session.x64quantprecision`, and with weights as uint8 around 128, which all compute
right; and float32. How much of the outputs is wrong is printed beside the times.

Accuracy, with `--data` (the four IDX files of Fashion-MNIST): the demo's network, calibrated, and trained in int8 with
75 % of zeros, each exported with 8 and with 7 bits and run on the whole test set with exact sums.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnx_latency
import onnxruntime
from onnx import TensorProto, numpy_helper
from rich.console import Console
from rich.progress import track
from rich.table import Table

import keras_sparse as ks
from keras_sparse.demo import data, training
from keras_sparse.demo.progress import Steps

KINDS = ("7 bits", "8 bits", "8 bits, exact", "uint8", "float32")


def session(path, exact=False):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def as_uint8(path, made):
    """The same file with int8 weights stored as uint8 and zero points of 128."""
    model = onnx.load(str(path))
    constants = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        stored = constants.get(node.input[0])
        if node.op_type == "DequantizeLinear" and stored is not None and stored.data_type == TensorProto.INT8:
            for name in (node.input[0], node.input[2]):
                moved = (numpy_helper.to_array(constants[name]).astype(np.int16) + 128).astype(np.uint8)
                constants[name].CopyFrom(numpy_helper.from_array(moved, name))
    onnx.save(model, str(made))
    return made


def latency(build, folder, rounds):
    """{kind: (median seconds, median ratio to 7 bits, fraction of outputs that are not those of exact sums)}."""
    keras.utils.set_random_seed(0)
    model = onnx_latency.trained(build())
    x = np.random.default_rng(0).normal(size=(64, *model.input_shape[1:])).astype("float32")
    made = {"samples": x, "quantize": "int8"}
    seven = ks.export(model, folder / "7.onnx", **made).path
    eight = ks.export(model, folder / "8.onnx", reduce_range=False, **made).path
    sessions = {
        "7 bits": session(seven),
        "8 bits": session(eight),
        "8 bits, exact": session(eight, exact=True),
        "uint8": session(as_uint8(eight, folder / "u8.onnx")),
        "float32": session(ks.export(model, folder / "f.onnx", samples=x).path),
    }
    outputs = {kind: each.run(None, {"input": x})[0] for kind, each in sessions.items()}
    exact = {"7 bits": session(seven, exact=True).run(None, {"input": x})[0], "float32": outputs["float32"]}
    seconds = {kind: [] for kind in sessions}
    for _ in range(rounds):
        for kind, each in sessions.items():
            each.run(None, {"input": x[:1]})  # what the others left in the caches is not counted
            start = time.perf_counter()
            for _ in range(5):
                each.run(None, {"input": x[:1]})
            seconds[kind].append((time.perf_counter() - start) / 5)
    return {
        kind: (
            statistics.median(times),
            statistics.median(a / b for a, b in zip(times, seconds["7 bits"], strict=True)),
            float((outputs[kind] != exact.get(kind, outputs["8 bits, exact"])).mean()),
        )
        for kind, times in seconds.items()
    }


def accuracies(options, folder, steps):
    """[{seed, network, bits, accuracy}]."""
    images = training.Images.of(data.load(options.data), options.train)
    rows = []
    for seed in options.seeds:
        steps.step(f"seed {seed}")
        keras.utils.set_random_seed(seed)
        dense, _ = training.dense(images, len(data.LABELS), options.epochs, steps)
        samples = images.x_train[:256]
        models = {"calibrated": ks.calibrate(dense, samples)}
        rules = training.recipe(images.steps * options.epochs)
        models["trained in int8, 75 % zeros"], _ = training.sparse(dense, rules, images, options.epochs, steps)
        for name, model in models.items():
            for bits in (8, 7):
                path = ks.export(model, folder / "m.onnx", samples=samples, reduce_range=bits == 7).path
                scores = session(path, exact=True).run(None, {"image": images.x_test})[0]
                right = float((scores.argmax(1) == images.y_test).mean())
                rows.append({"seed": seed, "network": name, "bits": bits, "accuracy": right})
    return rows


def main(options):
    console, found = Console(width=110), {}
    machine = f"{onnx_latency.processor()}, ONNX Runtime {onnxruntime.__version__}"
    table = Table(title=f"int8 .onnx, batch 1, 1 thread: time against 7 bits, and wrong outputs; {machine}")
    for column in ("network", *KINDS):
        table.add_column(column, justify="left" if column == "network" else "right")
    for name, build in track(onnx_latency.NETS.items(), "latency", console=console, transient=True):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = latency(build, Path(folder), options.rounds)
        cells = (f"{ratio:.2f}x" + (f", {wrong:.0%}" if wrong else "") for _, ratio, wrong in found[name].values())
        table.add_row(name, *cells)
    console.print(table)
    rows = []
    if options.data:
        with tempfile.TemporaryDirectory() as folder:
            rows = accuracies(options, Path(folder), Steps(console, len(options.seeds)))
        table = Table(title=f"accuracy on Fashion-MNIST, {len(options.seeds)} seeds: mean, range")
        for column in ("network", "8 bits", "7 bits"):
            table.add_column(column)
        for name in dict.fromkeys(row["network"] for row in rows):
            right = [[r["accuracy"] for r in rows if (r["network"], r["bits"]) == (name, bits)] for bits in (8, 7)]
            table.add_row(name, *(f"{statistics.mean(a):.2%}, {min(a):.2%} to {max(a):.2%}" for a in right))
        console.print(table)
    content = {"machine": machine, "system": platform.platform(), "rounds": options.rounds}
    content |= {"latency": {name: dict(each) for name, each in found.items()}, "accuracy": rows}
    Path(options.json).write_text(json.dumps(content, indent=2))
    print(options.json)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--json", default="onnx_reduce_range.json")
    main(parser.parse_args())
