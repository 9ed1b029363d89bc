"""From which sparsity on LiteRT's block kernels are faster than its dense ones, by size of the layer.

    python benchmarks/block_kernels.py [--sizes 128 1024] [--rounds 60] [--batch 1] [--json block_kernels.json]

Four square Dense layers, one thread, all files of one size interleaved, warm (called again and again, so that weights
stay in the cache) and cold (after other work, so that they come from memory). Float32 in 1x4 blocks, int8 weights
("hybrid") and static int8 in 1x16 blocks, each against dense float32, dense int8 weights and dense static int8. The
files are TensorFlow's own conversions; only the weights are replaced by their block form here, so that what is timed is
the kernel and nothing of this package. `keras_sparse/targets/tflite_blocks.py` states the ratios that this prints.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import Builder
from rich.console import Console
from rich.table import Table

LAYERS = 4
SPARSITIES = (0.5, 0.75, 0.8, 0.85, 0.9, 0.95)
SCHEMES = {"float32": 4, "int8-weights": 16, "int8": 16}
"""Width of the blocks that each scheme's kernel takes."""

OTHER_WORK = 128 << 20
"""Bytes that are read before a cold call: more than caches hold."""

SPARSE_VERSION = 8
"""Of FULLY_CONNECTED: the one version that LiteRT does not hand to XNNPACK, which has no block kernel."""


def network(size, batch, sparsity, width, seed=0):
    """Dense layers whose kernels have that fraction of all-zero blocks of `width` inputs."""
    generator = np.random.default_rng(seed)
    model = keras.Sequential([keras.Input((size,), batch)] + [keras.layers.Dense(size, "relu") for _ in range(LAYERS)])
    for layer in model.layers:
        blocks = generator.normal(size=(size, size // width, width)).astype(np.float32) / np.sqrt(size)
        zero = generator.permutation(size * size // width)[: round(sparsity * size * size / width)]
        blocks.reshape(-1, width)[zero] = 0.0
        layer.kernel.assign(blocks.reshape(size, size).T)
    return model


def convert(model, scheme, size, batch):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "int8":
        generator = np.random.default_rng(1)
        items = [generator.normal(size=(batch, size)).astype(np.float32) for _ in range(8)]
        converter.representative_dataset = lambda: ([item] for item in items)
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


class AlignedBuffer(schema.BufferT):
    """Data at a multiple of 16 bytes, as the schema asks for; kernels are slower where it is not."""

    def Pack(self, builder):
        if self.data is None or len(self.data) == 0:
            return super().Pack(builder)
        data = memoryview(self.data).cast("B")
        builder.StartVector(1, len(data), 16)
        builder.head = builder.Head() - len(data)
        builder.Bytes[builder.Head() : builder.Head() + len(data)] = data
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def in_blocks(data, width):
    """The file with every fully connected layer's weights as blocks."""
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        code.version = SPARSE_VERSION
        tensor = graph.tensors[operator.inputs[1]]
        dtype = np.float32 if tensor.type == schema.TensorType.FLOAT32 else np.int8
        rows, cols = tensor.shape
        blocks = np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(rows, cols // width, width)
        kept = blocks.any(-1)
        model.buffers.append(schema.BufferT(np.frombuffer(blocks[kept].tobytes(), np.uint8)))
        tensor.buffer = len(model.buffers) - 1
        tensor.sparsity = schema.SparsityParametersT([0, 1, 2], [1], [
            schema.DimensionMetadataT(schema.DimensionType.DENSE, rows),
            schema.DimensionMetadataT(
                schema.DimensionType.SPARSE_CSR, 0,
                schema.SparseIndexVector.Int32Vector,
                schema.Int32VectorT(np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int32)),
                schema.SparseIndexVector.Int32Vector,
                schema.Int32VectorT(np.nonzero(kept)[1].astype(np.int32)),
            ),
            schema.DimensionMetadataT(schema.DimensionType.DENSE, width),
        ])  # fmt: skip
    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
    builder = Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


class Runner:
    def __init__(self, data):
        with tempfile.NamedTemporaryFile(suffix=".tflite", delete=False) as file:  # mapped, so that it is aligned too
            file.write(data)
        self.interpreter = Interpreter(model_path=file.name, num_threads=1)
        os.unlink(file.name)
        self.interpreter.allocate_tensors()
        (port,) = self.interpreter.get_input_details()
        values = np.random.default_rng(2).normal(size=port["shape"])
        values = values.astype(np.float32) if port["dtype"] == np.float32 else (values * 40).round().astype(np.int8)
        self.interpreter.set_tensor(port["index"], values)
        for _ in range(5):
            self.interpreter.invoke()
        start = time.perf_counter()
        self.interpreter.invoke()
        self.calls = max(1, min(200, round(1e-3 / max(time.perf_counter() - start, 1e-6))))

    def seconds(self, other_work):
        if other_work is not None:
            other_work.sum()
        calls = self.calls if other_work is None else 1
        start = time.perf_counter()
        for _ in range(calls):
            self.interpreter.invoke()
        return (time.perf_counter() - start) / calls

    def output(self):
        (port,) = self.interpreter.get_output_details()
        return self.interpreter.get_tensor(port["index"]).astype(np.float32)


def measure(size, batch, rounds):
    """{"warm" or "cold": {scheme: {sparsity or "dense": lowest decile of seconds}}}."""
    runners = {}
    for scheme, width in SCHEMES.items():
        for sparsity in ("dense", *SPARSITIES):
            data = convert(network(size, batch, 0.0 if sparsity == "dense" else sparsity, width), scheme, size, batch)
            runner = Runner(data if sparsity == "dense" else in_blocks(data, width))
            if sparsity != "dense":
                expected = Runner(data).output()
                error = np.abs(runner.output() - expected).max() / max(np.abs(expected).max(), 1e-9)
                assert error < 0.05, f"{scheme} {sparsity} at {size}: the block kernel is off by {error:.2%}"
            runners[scheme, sparsity] = runner
    deciles = {}
    for state, other_work in (("warm", None), ("cold", np.ones(OTHER_WORK // 8))):
        seconds = {key: [] for key in runners}
        for _ in range(rounds):
            for key, runner in runners.items():
                seconds[key].append(runner.seconds(other_work))
        deciles[state] = {
            s: {k: statistics.quantiles(seconds[s, k], n=10)[0] for k in ("dense", *SPARSITIES)} for s in SCHEMES
        }
    return deciles


def main(sizes, rounds, batch, path):
    console, results = Console(width=130), {}
    for size in sizes:
        results[size] = measure(size, batch, rounds)
        for state, times in results[size].items():
            console.print(table(size, batch, state, times))
    with open(path, "w") as file:
        json.dump(
            {
                "batch": batch,
                "rounds": rounds,
                "processor": platform.processor() or platform.machine(),
                "cores": os.cpu_count(),
                "seconds": results,
            },
            file,
            indent=2,
        )


def table(size, batch, state, times):
    title = f"{LAYERS} x Dense({size}), batch {batch}, {state}: dense " + ", ".join(
        f"{scheme} {1e6 * each['dense']:.1f} us" for scheme, each in times.items()
    )
    made = Table(title=title)
    for column in ("blocks", "against dense", *(f"{s:.0%}" for s in SPARSITIES)):
        made.add_column(column)
    for scheme, width in SCHEMES.items():
        for other in SCHEMES:
            ratios = [f"{times[other]['dense'] / times[scheme][s]:.2f}" for s in SPARSITIES]
            made.add_row(f"{scheme} 1x{width}", other, *ratios)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--json", default="block_kernels.json")
    options = parser.parse_args()
    main(options.sizes, options.rounds, options.batch, options.json)
