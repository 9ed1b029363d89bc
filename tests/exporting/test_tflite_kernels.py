"""Weights read and written in each form that a file has for them."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting import tflite_kernels, tflite_model
from keras_sparse.exporting.tflite_encode import weight
from keras_sparse.exporting.tflite_encodings import BLOCK_KERNELS, DENSIFIED
from keras_sparse.exporting.tflite_model import Graph


def stored(int8_graph, form, values):
    """The `Graph`, read again, of one operation whose weights are in that form; and what it reads as its weights."""
    graph = int8_graph(1, 4, 4, values.shape[-1]) if values.ndim == 4 else int8_graph(1, values.shape[-1])
    kind = "CONV_2D" if values.ndim == 4 else "FULLY_CONNECTED"
    made = graph.layer(kind, graph.input, values, weight_scale=[0.1] * len(values))
    if form is not None:
        form.write(graph.graph, weight(graph.graph, int(graph.graph.operators[0].inputs[1])))
    graph.graph.graph.outputs = [made]
    graph = Graph(tflite_model.load(tflite_model.dump(graph.model)))
    return graph, int(graph.operators[-1].inputs[1])


KERNEL = np.zeros((4, 2, 1, 8), np.int8)
KERNEL[1, 0, 0, 2:6], KERNEL[3, 1] = 7, -5
MATRIX = np.zeros((4, 32), np.int8)
MATRIX[0, :3], MATRIX[2] = 9, -1
FORMS = [(None, KERNEL, 1), (DENSIFIED, KERNEL, 1), (BLOCK_KERNELS["int8"], MATRIX, 16)]


@pytest.mark.parametrize(("form", "values", "at_once"), FORMS)
def test_weights_are_found_in_each_form(int8_graph, form, values, at_once):
    graph, read = stored(int8_graph, form, values)
    kernel = tflite_kernels.find(graph, read)
    assert np.array_equal(kernel.values, values) and kernel.read == read
    assert (kernel.block is None, kernel.densified) == (form is None, form is DENSIFIED)
    assert kernel.inputs_at_once() == at_once


@pytest.mark.parametrize(("form", "values", "at_once"), FORMS[1:])
@pytest.mark.parametrize("factor", [1, 0])
def test_other_values_are_written_in_the_same_form(int8_graph, form, values, at_once, factor):
    """Zeros alone, too: a tensor without data would be no constant."""
    graph, read = stored(int8_graph, form, values)
    kernel = tflite_kernels.find(graph, read)
    smaller, quantization = values[1:, ..., : values.shape[-1] // 2] * factor, schema.QuantizationParametersT([0.5])
    tflite_kernels.write(graph, kernel, smaller, quantization)
    again = tflite_kernels.find(graph, read)
    assert np.array_equal(again.values, smaller) and (again.read, again.stored) == (kernel.read, kernel.stored)
    assert again.densified or again.block == kernel.block
    for index in (again.read, again.stored):
        assert [*graph.tensors[index].shape] == [*smaller.shape] and graph.tensors[index].quantization is quantization
    assert len(graph.model.buffers[graph.tensors[again.stored].buffer].data) > 0


def test_what_is_no_constant(int8_graph):
    graph, _ = stored(int8_graph, None, KERNEL)
    assert tflite_kernels.find(graph, int(graph.operators[0].inputs[0])) is None


def test_what_several_operations_read_is_refused(int8_graph):
    graph, read = stored(int8_graph, DENSIFIED, KERNEL)
    graph.add_operator("CONV_2D", graph.operators[-1].inputs, [])
    with pytest.raises(ValueError, match="several operations read them"):
        tflite_kernels.find(graph, read)


def test_tables_in_another_order_are_refused(int8_graph):
    graph, read = stored(int8_graph, DENSIFIED, KERNEL)
    kernel = tflite_kernels.find(graph, read)
    graph.tensors[kernel.stored].sparsity.traversalOrder = [3, 2, 1, 0]
    with pytest.raises(ValueError, match="last axis alone is sparse"):
        tflite_kernels.find(graph, read)
