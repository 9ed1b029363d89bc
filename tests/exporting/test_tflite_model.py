"""`.tflite` files as objects: read, changed, written."""

import numpy as np
import pytest

from keras_sparse.exporting import tflite_model
from keras_sparse.exporting.tflite_model import Graph
from keras_sparse.runtime import isolated


@pytest.fixture(scope="module")
def data(files):
    return files[".tflite"].path.read_bytes()


def test_reading_and_writing_again_gives_a_file_that_computes_the_same(data, files, trained, tmp_path):
    again = tmp_path / "again.tflite"
    again.write_bytes(tflite_model.dump(tflite_model.load(data)))
    inputs = [trained.x[:4]]
    for delegates in (True, False):
        before, after = (isolated.run(p, inputs, delegates=delegates) for p in (files[".tflite"].path, again))
        assert np.array_equal(before[0], after[0])
    assert tflite_model.dump(tflite_model.load(again.read_bytes())) == again.read_bytes()


def test_buffers_are_aligned(data):
    model = tflite_model.load(data)
    made = tflite_model.dump(model)
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 64:
            assert made.find(bytes(buffer.data)) % tflite_model.ALIGNMENT == 0


def test_a_graph_finds_who_makes_and_who_reads_a_tensor(data):
    graph = Graph(tflite_model.load(data))
    conv = next(op for op in graph.operators if graph.name(op) == "CONV_2D")
    assert graph.producer(conv.outputs[0]) is conv
    assert conv in graph.users(conv.inputs[0])
    assert graph.producer(conv.inputs[1]) is None and graph.constant(conv.inputs[1]).dtype == np.int8
    assert graph.is_output(graph.operators[-1].outputs[0])


def test_new_constants_and_versions_leave_others_as_they_are(data):
    graph = Graph(tflite_model.load(data))
    convs = [op for op in graph.operators if graph.name(op) == "CONV_2D"]
    version = graph.version(convs[0])
    graph.set_version(convs[0], 99)
    assert graph.version(convs[0]) == 99 and graph.version(convs[1]) == version
    before = [graph.constant(op.inputs[1]).copy() for op in convs]
    graph.set_constant(convs[0].inputs[1], np.zeros_like(before[0]))
    assert not graph.constant(convs[0].inputs[1]).any()
    assert np.array_equal(graph.constant(convs[1].inputs[1]), before[1])


@pytest.mark.parametrize("damaged", [b"", b"not a file at all", b"\xff\xff\xff\x7fTFL3" + b"\xff" * 64])
def test_what_is_no_file_is_refused(damaged):
    with pytest.raises(ValueError, match="tflite file"):
        tflite_model.load(damaged)


def test_compacting_drops_what_nothing_refers_to_and_keeps_what_is_equal_once(data, files, trained, tmp_path):
    model = tflite_model.load(data)
    graph = Graph(model)
    kernel = next(int(op.inputs[1]) for op in graph.operators if graph.name(op) == "CONV_2D")
    values = graph.constant(kernel).copy()
    for _ in range(3):
        graph.set_constant(kernel, values)  # in a new buffer each time
    unused = graph.add_constant(b"unused", np.arange(99))
    metadata = bytes(model.buffers[model.metadata[0].buffer].data)
    tflite_model.compact(model)
    stored = [b"" if each.data is None else bytes(each.data) for each in model.buffers]
    assert stored[0] == b"" and len(set(stored)) == len(stored)
    assert stored.count(values.tobytes()) == 1 and np.arange(99).tobytes() not in stored
    assert graph.tensors[unused].buffer == 0 and np.array_equal(graph.constant(kernel), values)
    assert stored[model.metadata[0].buffer] == metadata
    made = tmp_path / "compact.tflite"
    made.write_bytes(tflite_model.dump(model))
    before, after = (isolated.run(path, [trained.x[:4]])[0] for path in (files[".tflite"].path, made))
    assert np.array_equal(before, after)
