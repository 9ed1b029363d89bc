"""The delegate in LiteRT: what it claims, whole networks, batches, resized inputs, threads, lifetime and options."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import pytest
from keras_sparse_edge import native as library

from keras_sparse.exporting.tflite_encode import weight
from keras_sparse.exporting.tflite_encodings import DENSIFIED
from keras_sparse.exporting.tflite_model import Graph, dump, load

from .int8_network import Network
from .native import families, interpreter, partitions, run

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")
FAST = [name for name in FAMILIES if name != "plain"]


def inverted_residuals(zeros, size=24, batch=1, seed=0):
    """As in MobileNetV2: expansion, depthwise, projection, a sum where shapes allow it."""
    network = Network((batch, size, size, 3), seed)
    x = network.conv(network.input, 16, (3, 3), (2, 2), zeros=0, activation="relu6", zero_point=-128)
    for outputs, stride in ((24, 2), (24, 1), (32, 2), (32, 1)):
        y = network.conv(x, 6 * network.shape(x)[-1], zeros=zeros, activation="relu6", zero_point=-128)
        if stride == 2:
            y = network.depthwise(
                network.pad(y, 0, 1, 0, 1), (3, 3), (2, 2), False, activation="relu6", zero_point=-128
            )
        else:
            y = network.depthwise(y, activation="relu6", zero_point=-128)
        y = network.conv(y, outputs, zeros=zeros)
        x = network.add(x, y) if network.shape(x) == network.shape(y) else y
    return network.bytes(x)


def separable(zeros, size=24, batch=1, seed=0):
    """As in MobileNetV1 and DS-CNN: depthwise and 1x1 convolutions."""
    network = Network((batch, size, size - 5, 1), seed)
    x = network.conv(network.input, 64, (10, 4), (2, 2), zeros=0, activation="relu", zero_point=-128)
    for stride in (1, 2, 1):
        x = network.depthwise(x, (3, 3), (stride, stride), activation="relu", zero_point=-128)
        x = network.conv(x, 64, zeros=zeros, activation="relu", zero_point=-128)
    return network.bytes(x)


def residuals(zeros, size=14, batch=1, seed=0):
    """As in ResNet-50: 1x1, 3x3, 1x1 and a sum, with strided shortcuts."""
    network = Network((batch, size, size, 32), seed)
    x = network.input
    for width, stride in ((16, 1), (16, 1), (32, 2), (32, 1)):
        y = network.conv(x, width, stride=(stride, stride), zeros=zeros, activation="relu", zero_point=-128)
        y = network.conv(y, width, (3, 3), zeros=zeros, activation="relu", zero_point=-128)
        y = network.conv(y, 4 * width, zeros=zeros)
        if network.shape(x) != network.shape(y):
            x = network.conv(x, 4 * width, stride=(stride, stride), zeros=zeros)
        x = network.add(x, y, "relu", -128)
    return network.bytes(x)


def perceptron(zeros, size=96, batch=1, seed=0):
    network = Network((batch, size), seed)
    x = network.input
    for outputs in (128, 70, 128, 50):
        x = network.dense(x, outputs, zeros, activation="relu", zero_point=-128)
    return network.bytes(x)


NETWORKS = (inverted_residuals, separable, residuals, perceptron)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.8, 0.95])
def test_whole_networks_give_the_bytes_of_xnnpack(network, zeros):
    file = network(zeros)
    wanted = run(interpreter(file))[0]
    assert len(np.unique(wanted)) > 5
    for family in FAMILIES:
        for options in ({}, {"threshold": 0}, {"threshold": 0.9}, {"threshold": 0, "threads": 3}):
            found = run(interpreter(file, library.delegate(kernels=family, **options)))[0]
            np.testing.assert_array_equal(found, wanted, err_msg=f"{family}, {options}")


@pytest.mark.parametrize("network", NETWORKS)
def test_a_body_is_one_partition_and_a_dense_network_none(network):
    if not FAST:
        pytest.skip("this processor has plain C only")
    assert partitions(network(0.85), threshold=0.75) == 1
    assert partitions(network(0.0)) == 0


def bottleneck(last):
    """As in an autoencoder: small dense layers between wide sparse ones."""
    network = Network((1, 512), 0)
    x = network.input
    for outputs, zeros in ((160, 0.9), (8, 0), (128, 0), (320, 0.9), *last):
        x = network.dense(x, outputs, zeros, activation="relu", zero_point=-128)
    return network.bytes(x)


def test_a_small_layer_goes_with_sparse_ones_on_both_sides():
    if not FAST:
        pytest.skip("this processor has plain C only")
    for last in ((), ((10, 0),)):
        file = bottleneck(last)
        *layers, partition = interpreter(file, library.delegate(), xnnpack=False)._get_ops_details()
        assert len(layers) == 4 + len(last) and partition["op_name"] == "DELEGATE"
        assert list(partition["outputs"]) == list(layers[3]["outputs"])  # one with sparse layers on one side is left
        for family in FAST:
            found = run(interpreter(file, library.delegate(kernels=family)))[0]
            np.testing.assert_array_equal(found, run(interpreter(file))[0], err_msg=family)


def test_short_convolutions_are_left_to_several_threads_of_xnnpack():
    if not FAST:
        pytest.skip("this processor has plain C only")

    def claimed(file, threads, **options):
        made = interpreter(file, library.delegate(**options), threads, xnnpack=False)
        return sum(each["op_name"] == "DELEGATE" for each in made._get_ops_details())

    assert claimed(separable(0.9, 48), 1) == 1 and claimed(separable(0.9, 48), 2) == 0
    assert claimed(separable(0.9, 48), 2, threshold=0.7) == 1
    assert claimed(separable(0.9, 320), 2) == 1  # a tenth of a millisecond: threads are woken
    assert claimed(perceptron(0.9, 512), 2) == claimed(perceptron(0.9, 512), 1) == 1


@pytest.mark.parametrize("network", NETWORKS)
def test_batches_and_resized_inputs(network):
    file = network(0.8, batch=3)
    (port,) = interpreter(file).get_input_details()
    shape = tuple(port["shape"])
    other = (2, *shape[1:]) if len(shape) == 2 else (2, shape[1] + 7, shape[2] - 3, shape[3])
    random = np.random.default_rng(4)
    for family in FAMILIES:
        plain, made = interpreter(file), interpreter(file, library.delegate(kernels=family, threshold=0))
        for each in (shape, other, shape, (1, *other[1:])):
            x = random.integers(-128, 128, each).astype(np.int8)
            np.testing.assert_array_equal(run(made, x)[0], run(plain, x)[0])


def test_a_resized_input_leaves_weights_packed():
    """Packing takes milliseconds here, all else that a resized input asks for some microseconds."""
    network = Network((1, 1024))
    file = network.bytes(network.dense(network.input, 2048, 0.8))
    made = interpreter(file, library.delegate(threshold=0))
    plain = interpreter(file)
    (port,) = made.get_input_details()

    def seconds(made, batch):
        made.resize_tensor_input(port["index"], (batch, 1024))
        start = time.perf_counter()
        made.allocate_tensors()
        return time.perf_counter() - start

    took, dense = (min(seconds(each, 2 + turn % 3) for turn in range(30)) for each in (made, plain))
    assert took < dense + 3e-4
    x = np.random.default_rng(1).integers(-128, 128, (3, 1024)).astype(np.int8)
    for each in (made, plain):
        seconds(each, 3)
    np.testing.assert_array_equal(run(made, x)[0], run(plain, x)[0])


def test_many_interpreters_of_one_delegate_in_many_threads():
    delegate = library.delegate(threads=2, threshold=0)
    files = [network(0.8, seed=seed) for seed, network in enumerate(NETWORKS * 2)]
    wanted = [run(interpreter(file))[0] for file in files]
    made = [interpreter(file, delegate) for file in files]
    wrong = []

    def work(index):
        for _ in range(60):
            if not np.array_equal(run(made[index])[0], wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_interpreter_outlives_its_delegate():
    file = separable(0.8)
    wanted = run(interpreter(file))[0]
    delegate = library.delegate(threads=2, threshold=0)
    made = interpreter(file, delegate)
    made._delegates = []  # LiteRT's Python keeps delegates alive; in other languages the order is the user's
    del delegate
    gc.collect()
    np.testing.assert_array_equal(run(made)[0], wanted)


def densified(file):
    """The file with the weights of its convolutions stored sparse, as the exporter does it."""
    graph = Graph(load(file))
    for operator in list(graph.operators):
        found = weight(graph, operator.inputs[1]) if graph.name(operator) == "CONV_2D" else None
        if found and DENSIFIED.refusal(found) is None:
            DENSIFIED.write(graph, found)
    return dump(graph.model)


@pytest.mark.parametrize("network", [separable, residuals, inverted_residuals])
def test_weights_behind_densify_are_claimed_with_it(network):
    plain = network(0.9)
    sparse = densified(plain)
    kinds = [graph.name(op) for graph in [Graph(load(sparse))] for op in graph.operators]
    assert "DENSIFY" in kinds
    wanted = run(interpreter(plain))[0]
    for family in FAMILIES:
        for threshold in (0, 0.8):
            made = interpreter(sparse, library.delegate(kernels=family, threshold=threshold))
            np.testing.assert_array_equal(run(made)[0], wanted)
    made = interpreter(sparse, library.delegate(kernels=FAMILIES[0], threshold=0), xnnpack=False)
    assert {op["op_name"] for op in made._get_ops_details()[len(kinds) :]} == {"DELEGATE"}


def pruned(path, zeros, block):
    """The file with zeros in blocks (outputs x inputs) of its convolutions and fully connected layers."""
    model, random = load(path.read_bytes()), np.random.default_rng(0)
    graph = Graph(model)
    for operator in graph.operators:
        if graph.name(operator) not in ("CONV_2D", "FULLY_CONNECTED"):
            continue
        weights = graph.constant(operator.inputs[1])
        if weights is None or weights.shape[-1] < 8:
            continue
        grid = (-(-weights.shape[0] // block[0]), *weights.shape[1:-1], -(-weights.shape[-1] // block[1]))
        kept = (random.random(grid) >= zeros).repeat(block[0], 0).repeat(block[1], -1)
        kept = kept[: weights.shape[0], ..., : weights.shape[-1]]
        graph.set_constant(operator.inputs[1], weights * kept.astype(np.int8))
    return dump(model)


@pytest.mark.parametrize(
    ("name", "block"),
    [("ad01_int8.tflite", (16, 4)), ("ad01_int8.tflite", (1, 16)), ("pretrainedResnet_quant.tflite", (1, 4))],
)
@pytest.mark.parametrize("zeros", [0.0, 0.8])
def test_mlperf_tiny_models(shared, name, block, zeros):
    file = pruned(shared / "models" / "mlperf-tiny" / name, zeros, block)
    wanted = run(interpreter(file))[0]
    for family in FAMILIES:
        for threshold in (0, 0.7):
            made = interpreter(file, library.delegate(kernels=family, threshold=threshold))
            np.testing.assert_array_equal(run(made)[0], wanted)
    if zeros:
        assert partitions(file, kernels=FAMILIES[0], threshold=0.7) >= 1
