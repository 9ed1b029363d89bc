"""`.tflite` files as targets see them: ours, those of others, and ones with sparse tables, which really run so."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting import tflite_network
from keras_sparse.exporting.tflite_model import Graph, dump, load
from keras_sparse.pattern import NofM
from keras_sparse.runtime import isolated
from keras_sparse.target import named
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, FLOAT32, INT8, INT8_WEIGHTS


def test_an_int8_file_is_read_with_its_zeros(files, parts):
    found = tflite_network.read(files[".tflite"].path)
    kinds = {(each.kind, each.positions, each.rows, each.cols): each for each in found.layers}
    assert set(kinds) == {
        (CONV, 9, 8, 3), (DEPTHWISE, 1, 8, 9), (CONV, 1, 8, 8), (CONV, 1, 4, 8), (CONV, 9, 6, 8),
        (DENSE, 1, 20, 10), (DENSE, 1, 5, 20),
    }  # fmt: skip
    assert {each.scheme for each in found.layers} == {INT8}
    assert {each.stored.encoding for each in found.layers} == {"dense"}
    hidden, wanted = kinds[DENSE, 1, 20, 10], next(t for t in parts.tensors if "hidden" in t.name)
    assert hidden.zeros == int(np.sum(wanted.dense() == 0)) == 150
    np.testing.assert_array_equal(hidden.kept[0], wanted.dense().T != 0)
    pointwise = kinds[CONV, 1, 8, 8]
    assert (pointwise.vectors, pointwise.sparsity_in(NofM(2, 4))) == (36, pointwise.sparsity) and pointwise.zeros >= 32


def test_the_graph_has_padding_strides_and_types(files):
    found = {each.name: each for each in tflite_network.read(files[".tflite"].path).operations}
    convs = [each for each in found.values() if each.kind in (CONV, DEPTHWISE)]
    assert not any(each.floats for each in convs)
    entry = next(each for each in convs if each.strides == (2, 2))
    assert (entry.kernel, entry.channels, entry.padding) == ((3, 3), 3, ((0, 0), (0, 0)))
    assert sum(each.kind == "pad" and each.padding == ((1, 1), (1, 1)) for each in found.values()) == 1
    depthwise = next(each for each in convs if each.kind == DEPTHWISE)
    assert depthwise.same and depthwise.padding == ((1, 1), (1, 1))


@pytest.mark.parametrize("content", [b"", b"1234TFL3", b"PK\x03\x04 a zip archive", b"\x00" * 3])
def test_what_is_no_tflite_file_is_refused(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.tflite is (not a|a damaged) \.tflite file"):
        tflite_network.read(path)


def test_every_file_cut_short_is_an_error(files, tmp_path):
    data, path = files[".tflite"].path.read_bytes(), tmp_path / "cut.tflite"
    for size in range(8, len(data), len(data) // 12):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"cut\.tflite is"):
            tflite_network.read(path)


ROWS, COLS = 48, 64


@pytest.fixture(scope="module")
def dense():
    """{scheme: a file of one Dense layer whose kernel has blocks of zeros}, without training."""
    made = {}
    for scheme, width in (("float32", 4), ("int8-weights", 16)):
        rng = np.random.default_rng(5)
        values = rng.normal(size=(ROWS, COLS // width, width)).astype(np.float32)
        values.reshape(-1, width)[rng.permutation(ROWS * COLS // width)[: int(0.75 * ROWS * COLS / width)]] = 0.0
        model = keras.Sequential([keras.Input((COLS,), batch_size=1), keras.layers.Dense(ROWS, name="d")])
        model.layers[0].kernel.assign(values.reshape(ROWS, COLS).T)
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        converter.optimizations = [] if scheme == "float32" else [tf.lite.Optimize.DEFAULT]
        made[scheme] = converter.convert()
    return made


def as_table(data, width, version, densify=False):
    """The file with its one kernel as a table of blocks, read by that version of FULLY_CONNECTED."""
    model = load(data)
    graph = Graph(model)
    (operator,) = (op for op in graph.operators if graph.name(op) == "FULLY_CONNECTED")
    values = graph.constant(operator.inputs[1])
    blocks = values.reshape(ROWS, COLS // width, width)
    kept = blocks.any(-1)
    sparse = graph.tensors[operator.inputs[1]]
    model.buffers.append(schema.BufferT(np.frombuffer(blocks[kept].tobytes(), np.uint8)))
    sparse.buffer = len(model.buffers) - 1

    def vector(numbers):
        return schema.SparseIndexVector.Int32Vector, schema.Int32VectorT(np.asarray(numbers, np.int32))

    segments, indices = vector([0, *np.cumsum(kept.sum(1))]), vector(np.nonzero(kept)[1])
    inner = [schema.DimensionMetadataT(schema.DimensionType.DENSE, width)] if width > 1 else []
    sparse.sparsity = schema.SparsityParametersT(
        [*range(2 + len(inner))],
        [1] * len(inner),
        [
            schema.DimensionMetadataT(schema.DimensionType.DENSE, ROWS),
            schema.DimensionMetadataT(schema.DimensionType.SPARSE_CSR, 0, *segments, *indices),
            *inner,
        ],
    )
    if densify:
        made = graph.add_tensor("unpacked", (ROWS, COLS), values.dtype.name, sparse.quantization)
        graph.add_operator("DENSIFY", [operator.inputs[1]], [made], before=operator)
        operator.inputs = [operator.inputs[0], made, *operator.inputs[2:]]
    graph.set_version(operator, version)
    return dump(model)


def max_blocks(data, width):
    graph = Graph(load(data))
    (operator,) = (op for op in graph.operators if graph.name(op) == "FULLY_CONNECTED")
    return graph.constant(operator.inputs[1]).reshape(ROWS, -1, width).any(-1).sum(-1).max()


def read(tmp_path, data):
    path = tmp_path / "m.tflite"
    path.write_bytes(data)
    network = tflite_network.read(path)
    (layer,) = network.layers
    return path, network, layer


@pytest.mark.parametrize(("scheme", "width", "stored"), [("float32", 4, FLOAT32), ("int8-weights", 16, INT8_WEIGHTS)])
def test_a_block_table_of_version_8_is_a_block_kernel_and_runs(dense, tmp_path, scheme, width, stored):
    path, network, layer = read(tmp_path, as_table(dense[scheme], width, 8))
    assert (layer.kind, layer.rows, layer.cols, layer.scheme) == (DENSE, ROWS, COLS, stored)
    assert (layer.stored.encoding, layer.stored.block, layer.stored.version) == (f"blocks 1x{width}", (1, width), 8)
    assert layer.stored.fullest_row == max_blocks(dense[scheme], width)
    # Whole blocks, and what int8 rounds to zero within others.
    assert 0 <= layer.zeros - ROWS * COLS * 3 // 4 < 8
    assert layer.stored.bytes < ROWS * COLS * (4 if stored == FLOAT32 else 1)
    (verdict,) = named("litert").verdicts(network)
    assert verdict.kernel == f"TFLite block kernel 1x{width}, {scheme}" and verdict.fault is None
    x = np.random.default_rng(0).normal(size=(1, COLS)).astype(np.float32)
    plain = tmp_path / "plain.tflite"
    plain.write_bytes(dense[scheme])
    (expected,), (made,) = isolated.run(plain, [x]), isolated.run(path, [x])
    np.testing.assert_allclose(made, expected, atol=0.02 * np.abs(expected).max())


def test_the_version_that_stock_tools_write_is_a_fault(dense, tmp_path):
    _, network, layer = read(tmp_path, as_table(dense["int8-weights"], 16, 12))
    assert layer.stored.version == 12
    (verdict,) = named("litert").verdicts(network)
    assert "version 12" in verdict.fault and verdict.kernel == "none that is right"


def test_single_values_behind_densify_are_told_as_densified(dense, tmp_path):
    path, network, layer = read(tmp_path, as_table(dense["float32"], 1, 1, densify=True))
    assert (layer.stored.encoding, layer.stored.block, layer.stored.densified) == ("CSR + DENSIFY", (1, 1), True)
    (verdict,) = named("litert").verdicts(network)
    assert verdict.kernel == "densified: dense float32" and verdict.fault is None
    assert isolated.run(path, [np.ones((1, COLS), np.float32)])[0].shape == (1, ROWS)


def test_int8_fully_connected_behind_densify_is_a_fault_and_does_not_load(dense, tmp_path):
    path, network, _ = read(tmp_path, as_table(dense["int8-weights"], 1, 12, densify=True))
    (verdict,) = named("litert").verdicts(network)
    assert "does not load" in verdict.fault
    with pytest.raises(isolated.RuntimeFailure):
        isolated.run(path, [np.ones((1, COLS), np.float32)])


@pytest.mark.parametrize(
    ("name", "scheme", "layers"),
    [("ad01_fp32", FLOAT32, 10), ("ad01_int8", INT8, 10), ("pretrainedResnet_quant", INT8, 10)],
)
def test_files_of_others(shared, name, scheme, layers):
    found = tflite_network.read(shared / "models" / "mlperf-tiny" / f"{name}.tflite")
    assert len(found.layers) == layers and {each.scheme for each in found.layers} == {scheme}
    assert all(each.vectors is not None and each.operation for each in found.layers)
