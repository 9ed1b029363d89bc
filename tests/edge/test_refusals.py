"""Graphs and inputs that the delegate must leave alone or refuse, found by fuzzing and by reading."""

from __future__ import annotations

import numpy as np
import pytest
from keras_sparse_edge import native as library

from keras_sparse.exporting.tflite_model import Graph, dump, load

from .int8_network import Network
from .native import families, interpreter, partitions, run
from .test_delegate import densified, separable

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")


def small():
    network = Network((1, 6, 6, 8))
    return network, network.conv(network.input, 8, (3, 3))


def claimed(file):
    return partitions(file, kernels=FAMILIES[0], threshold=0)


def same(file, x=None):
    made = interpreter(file, library.delegate(kernels=FAMILIES[0], threshold=0))
    for found, wanted in zip(run(made, x), run(interpreter(file), x), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(1, 6, 6, 8, 1), (8,), (1, 2**15, 2**15, 8)])
def test_inputs_resized_to_what_does_not_fit_are_refused(shape):
    network, out = small()
    made = interpreter(network.bytes(out), library.delegate(threshold=0, kernels=FAMILIES[0]))
    made.resize_tensor_input(0, shape)
    with pytest.raises(RuntimeError, match=r"more than four axes|do not fit each other"):
        made.allocate_tensors()


def test_empty_inputs_are_refused():
    network, out = small()
    made = interpreter(network.bytes(out), library.delegate(threshold=0, kernels=FAMILIES[0]))
    made.resize_tensor_input(0, (0, 6, 6, 8))
    with pytest.raises(RuntimeError, match="a tensor is empty"):
        made.allocate_tensors()


def test_images_whose_offsets_are_too_large_are_not_claimed():
    network = Network((1, 2**14, 2**14, 8))
    file = network.bytes(network.conv(network.input, 8, (3, 3)))
    assert claimed_without_allocation(file) == 0
    network, out = small()
    assert claimed(network.bytes(out)) == 1


@pytest.mark.parametrize("stride", [0, -1, 2**31 - 1])
def test_strides_beyond_any_use_are_not_claimed(stride):
    network, out = small()
    network.graph.operators[0].builtinOptions.strideW = stride
    assert claimed_without_allocation(network.bytes(out)) == 0


def claimed_without_allocation(file):
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(model_content=file, experimental_delegates=[library.delegate(threshold=0, kernels=FAMILIES[0])])
    return sum(op["op_name"] == "DELEGATE" for op in made._get_ops_details())


@pytest.mark.parametrize("name", ["conv", "dense"])
def test_weights_that_are_left_out_are_not_read(name):
    network = Network((1, 6, 6, 8) if name == "conv" else (1, 8))
    out = getattr(network, name)(network.input, 8)
    network.graph.operators[0].inputs[1] = -1
    assert claimed_without_allocation(network.bytes(out)) == 0


def test_shapes_that_the_file_has_wrong_are_not_claimed():
    network, out = small()
    network.graph.operators[0].builtinOptions.strideW = 2
    assert claimed(network.bytes(out)) == 0
    same(network.bytes(out))


def test_a_bias_without_scale_is_left_alone_as_xnnpack_does():
    network, out = small()
    network.graph.tensors[network.graph.operators[0].inputs[2]].quantization = None
    assert claimed(network.bytes(out)) == 0
    same(network.bytes(out))


@pytest.mark.parametrize("shape", [(24,), (2, 2, 24), (4, 12), (2, 3, 2, 24)])
@pytest.mark.parametrize("rows", [1, 40])
def test_fully_connected_layers_flatten_resized_inputs(shape, rows):
    network = Network((rows, 24))
    file = network.bytes(network.dense(network.input, 10))
    assert claimed(file) == 1
    same(file, np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8))


def test_scales_of_weights_behind_densify_are_those_that_the_layer_reads():
    graph = Graph(load(densified(separable(0.9))))
    densify = next(op for op in graph.operators if graph.name(op) == "DENSIFY")
    quantization = graph.tensors[densify.inputs[0]].quantization
    quantization.scale, quantization.zeroPoint = [0.5], [0]
    same(dump(graph.model))


def test_dense_weights_that_are_an_output_as_well_are_made():
    file = densified(separable(0.9))
    graph = Graph(load(file))
    densify = next(op for op in graph.operators if graph.name(op) == "DENSIFY")
    graph.graph.outputs = [*graph.graph.outputs, densify.outputs[0]]
    both = dump(graph.model)
    made = interpreter(both, library.delegate(kernels=FAMILIES[0], threshold=0), xnnpack=False)
    wanted = run(interpreter(both, xnnpack=False))[1]
    assert wanted.any()
    np.testing.assert_array_equal(run(made)[1], wanted)


@pytest.mark.parametrize(
    ("level", "name", "value"),
    [(0, "denseSize", 2**31 - 1), (0, "denseSize", 0), (4, "denseSize", -4), (4, "denseSize", 3)],
)
def test_damaged_tables_are_not_walked_through(level, name, value):
    graph = Graph(load(densified(separable(0.9))))
    before = claimed_without_allocation(dump(graph.model))
    for tensor in graph.tensors:
        if tensor.sparsity is not None:
            setattr(tensor.sparsity.dimMetadata[level], name, value)
    assert claimed_without_allocation(dump(graph.model)) != before


def test_an_axis_of_quantization_that_xnnpack_does_not_take_is_left_alone():
    network, out = small()
    network.graph.tensors[out].quantization.quantizedDimension = 2
    assert claimed(network.bytes(out)) == 0
    same(network.bytes(out))
