"""ONNX Runtime's execution provider: whole networks, what it claims and leaves, sessions, threads and options."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import subprocess
import sys
import threading
import time

import keras_sparse_edge
import numpy as np
import onnxruntime
import pytest
from keras_sparse_edge import native as library
from keras_sparse_edge import provider

from .native import families
from .onnx_sessions import claimed, random_input, run, session
from .qdq_network import Network

FAMILIES = families()
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the native library is not built: setup.py build_ext --inplace")
FAST = [name for name in FAMILIES if name != "plain"]


def separable(zeros, batch=None, seed=0, dtype=np.uint8):
    """As in MobileNetV1 and DS-CNN: depthwise and 1x1 convolutions."""
    network = Network((1, 3, 24, 19), seed, dtype, batch)
    x = network.conv(network.input, 32, (3, 3), (2, 2), (0, 0, 1, 1), zeros=0, activation="relu6")
    for stride in (1, 2, 1):
        x = network.depthwise(x, stride=(stride, stride), activation="relu6")
        x = network.conv(x, 64, zeros=zeros, activation="relu6")
    return network.model(x)


def residuals(zeros, batch=None, seed=0, dtype=np.uint8):
    """As in ResNet: 1x1, 3x3, 1x1 and a sum, with strided shortcuts."""
    network = Network((1, 32, 14, 14), seed, dtype, batch)
    x = network.input
    for width, stride in ((16, 1), (32, 2)):
        y = network.conv(x, width, stride=(stride, stride), zeros=zeros, activation="relu")
        y = network.conv(y, width, (3, 3), pads=(1, 1, 1, 1), zeros=zeros, activation="relu")
        y = network.conv(y, 4 * width, zeros=zeros)
        x = network.conv(x, 4 * width, stride=(stride, stride), zeros=zeros)
        x = network.add(x, y, "relu")
    return network.model(x)


def perceptron(zeros, batch=None, seed=0, dtype=np.uint8):
    network = Network((1, 96), seed, dtype, batch)
    x = network.input
    for outputs in (128, 144, 128):
        x = network.dense(x, outputs, zeros, activation="relu")
    return network.model(network.dense(x, 10, 0))


NETWORKS = (separable, residuals, perceptron)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("zeros", [0.0, 0.8])
def test_whole_networks_give_the_bytes_of_onnx_runtime(network, zeros):
    file = network(zeros, batch="n")
    plain = session(file, provider=False)
    inputs = [random_input(plain, batch, seed=batch) for batch in (1, 3, 1, 20, 2, 5, 4)]
    wanted = [run(plain, x)[0] for x in inputs]
    assert min(len(np.unique(each)) for each in wanted) > 5
    for family in FAMILIES:
        for options in ({}, {"threshold": 0}, {"threshold": 0.7}, {"threshold": 0, "threads": 3}):
            made = session(file, kernels=family, **options)
            for x, want in zip(inputs, wanted, strict=True):
                np.testing.assert_array_equal(run(made, x)[0], want, err_msg=f"{family}, {options}")


@pytest.mark.parametrize("network", [separable, perceptron])
def test_activations_of_int8(network):
    """ONNX Runtime runs them as uint8 on x86-64, and in float where it cannot: there they are left to it as a whole."""
    file = network(0.8, batch="n", dtype=np.int8)
    plain, made = session(file, provider=False), session(file, threshold=0)
    assert len(claimed(made)) == 1
    if platform.machine() == "x86_64":
        assert claimed(session(file)) == []
    for batch in (1, 3, 20):
        x = random_input(plain, batch)
        np.testing.assert_array_equal(run(made, x)[0], run(plain, x)[0])


def test_output_channels_without_weights_give_their_bias():
    """Scales of such channels may be anything; those of the sums would be above 1."""
    network = Network((2, 16, 9, 9), 5)
    network.scales = lambda outputs, per_channel: np.where(np.arange(outputs) % 2, 0.004, 3).astype(np.float32)
    blocks = network.blocks
    network.blocks = lambda outputs, *shape: (
        blocks(outputs, *shape) * (np.arange(outputs) % 2).astype(np.int8).reshape(-1, 1, 1)
    )
    network.bias = lambda x, scale, outputs: network.weights(
        network.random.integers(-30, 40, outputs).astype(np.int32), network.numbers[x][0] * scale
    )
    x = network.depthwise(network.conv(network.input, 24))
    file = network.model(x)
    made = session(file, threshold=0)
    assert claimed(made) == [["Conv", "Conv"]]
    wanted = run(session(file, provider=False))[0]
    np.testing.assert_array_equal(run(made)[0], wanted)
    assert len(np.unique(wanted[:, ::2])) > 5


@pytest.mark.skipif(not FAST, reason="this processor has plain C only")
@pytest.mark.parametrize(
    ("network", "partitions"),
    [
        # the first convolution is dense
        (separable, [["Conv", "Clip"] * 6]),
        # sums are ONNX Runtime's; what lies before and between them is as one
        (residuals, [["Conv", "Relu", "Conv", "Relu", "Conv", "Conv"]] * 2),
        # the last layer is dense
        (perceptron, [["Gemm", "Relu"] * 3]),
    ],
)
def test_what_is_claimed(network, partitions):
    found = claimed(session(network(0.85), threshold=0.75))
    assert [sorted(part) for part in found] == [sorted(part) for part in partitions]
    dense = session(network(0.0))
    assert claimed(dense) == []


def test_layers_below_their_break_even_are_left_alone():
    if not FAST:
        pytest.skip("this processor has plain C only")
    for shape, zeros, wanted in (
        ((1, 256, 14, 14), 0.3, []),
        ((1, 256, 14, 14), 0.8, [["Conv"]]),
        ((1, 32, 28, 28), 0.8, []),  # ONNX Runtime would transpose more bytes than zeros save time
    ):
        network = Network(shape)
        assert claimed(session(network.model(network.conv(network.input, 256, zeros=zeros)))) == wanted


def test_a_batch_of_none():
    for network in NETWORKS:
        file = network(0.8, batch="n")
        plain, made = session(file, provider=False), session(file, threshold=0)
        for batch in (2, 0, 2):
            x = random_input(plain, 2)[:batch]
            np.testing.assert_array_equal(run(made, x)[0], run(plain, x)[0])


def test_batches_of_many_sizes_do_not_pack_weights_anew():
    """More sizes by turns than plans are kept: each call makes one, which costs little beside packing."""
    network = Network((1, 512), batch="n")
    made = session(network.model(network.dense(network.input, 2048)), threshold=0, kernels=FAMILIES[0])
    inputs = [random_input(made, batch) for batch in range(1, 7)]

    def seconds(batches):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            for batch in batches:
                run(made, inputs[batch])
            times.append(time.perf_counter() - start)
        return min(times)

    assert seconds((0, 1, 2, 3, 4, 5)) < 4 * (seconds((0, 1, 2)) + seconds((3, 4, 5)))


def test_sessions_in_many_threads():
    """Several sessions, and one session that runs several times at once."""
    files = [network(0.8, batch="n", seed=seed) for seed, network in enumerate(NETWORKS * 2)]
    made = [session(file, threads=1 + index % 2, threshold=0) for index, file in enumerate(files)]
    inputs = [[random_input(each, batch, seed=batch) for batch in range(1, 8)] for each in made]
    wanted = [[run(session(file, provider=False), x)[0] for x in xs] for file, xs in zip(files, inputs, strict=True)]
    wrong = []

    def work(start):
        for turn in range(120):
            at, batch = (start + turn) % len(made), (start * turn) % 7
            if not np.array_equal(run(made[at], inputs[at][batch])[0], wanted[at][batch]):
                wrong.append((at, batch))

    threads = [threading.Thread(target=work, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc")
@pytest.mark.skipif("KERAS_SPARSE_NATIVE" in os.environ, reason="sanitizers keep memory that was freed")
def test_nothing_is_left_of_sessions():
    network = Network((1, 64, 12, 12), batch="n")
    x = network.conv(network.input, 512, (3, 3), zeros=0.8)  # 1 MB of weights
    file = network.model(network.conv(x, 8, zeros=0.8))
    inputs = [random_input(session(file), batch) for batch in (1, 2, 3, 4, 5, 6)]

    def cycle():
        made = session(file, threshold=0, kernels=FAMILIES[0])
        for value in inputs:
            run(made, value)

    for _ in range(10):
        cycle()
    before = resident()
    for _ in range(30):
        cycle()
    assert resident() - before < 8e6


def test_the_provider_is_registered_once_and_options_are_kept():
    given = onnxruntime.SessionOptions()
    given.intra_op_num_threads = 2
    assert provider.session_options(given) is given and given.intra_op_num_threads == 2
    assert provider.session_options(threads=3).intra_op_num_threads == 3
    (device,) = [each for each in onnxruntime.get_ep_devices() if each.ep_name == provider.NAME]
    assert device.ep_metadata["version"] == keras_sparse_edge.__version__
    made = onnxruntime.InferenceSession(separable(0.8), given)
    assert made.get_providers() == [provider.NAME, "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads: a number from 1 to 65 is required. Received: 0"),
        ({"threshold": "nan"}, "threshold: a fraction of zero blocks from 0 to 1 is required. Received: nan"),
        ({"kernels": "mmx"}, "kernels: this processor has .*plain. Received: mmx"),
        ({"speed": "high"}, "an option must be kernels, threads or threshold. Received: speed"),
    ],
)
def test_an_unknown_option_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        provider.session_options(**options)


def test_options_that_are_given_twice_have_the_provider_once():
    given = onnxruntime.SessionOptions()
    for _ in range(2):
        assert provider.session_options(given) is given
    assert onnxruntime.InferenceSession(separable(0.8), given).get_providers()[0] == provider.NAME
    given = provider.session_options(threads=2, threshold=0.5)
    assert provider.session_options(given, threshold=0.5) is given  # two threads, as they say now
    assert onnxruntime.InferenceSession(separable(0.8), given).get_providers()[0] == provider.NAME


def test_options_that_are_given_twice_are_not_changed():
    given = provider.session_options(threads=2)
    message = r"have the provider already, with threads=2: .* Received: kernels=plain, threads=3"
    with pytest.raises(ValueError, match=message):
        provider.session_options(given, threads=3, kernels="plain")
    assert given.intra_op_num_threads == 2


def test_options_of_another_kind_are_an_error():
    with pytest.raises(TypeError, match="Received: int"):
        provider.session_options(3)


def test_options_that_reach_the_provider_are_checked_there():
    """As a user of another language gives them."""
    provider.session_options()
    devices = [each for each in onnxruntime.get_ep_devices() if each.ep_name == provider.NAME]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_provider_for_devices(devices, {"threads": "two"})
    with pytest.raises(RuntimeError, match=r"threads: a number from 1 to 65 is required\. Received: two"):
        onnxruntime.InferenceSession(separable(0.8), options, enable_fallback=0)


def test_without_the_library_the_error_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "libkeras_sparse.so")
    with pytest.raises(RuntimeError, match=r"build_ext --inplace.*Received: no file .*libkeras_sparse.so"):
        provider.session_options()


def test_an_older_onnx_runtime_is_an_error():
    """One that has no tables of version 23: the library asks for it, and says so with what version 1 has."""
    said, number = [], ctypes.create_string_buffer(b"1.22.1")
    version = ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: ctypes.addressof(number))

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p)
    def create_status(code, message):
        said.append((code, message.decode()))
        return 1

    table = ctypes.c_void_p(ctypes.cast(create_status, ctypes.c_void_p).value)
    get = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_uint32)(lambda n: ctypes.addressof(table) if n == 1 else None)
    base = (ctypes.c_void_p * 2)(*(ctypes.cast(each, ctypes.c_void_p).value for each in (get, version)))
    factories, count = (ctypes.c_void_p * 1)(), ctypes.c_size_t(7)
    made = library.library().CreateEpFactories(b"x", base, None, factories, ctypes.c_size_t(1), ctypes.byref(count))
    assert made and count.value == 0
    assert said == [(1, "keras_sparse: ONNX Runtime 1.23 or newer is required. Received: 1.22.1")]


def test_a_process_ends_well_while_there_are_sessions(tmp_path):
    (tmp_path / "model.onnx").write_bytes(separable(0.8))
    script = """
import sys, onnxruntime
from keras_sparse_edge.provider import session_options
kept = [onnxruntime.InferenceSession(sys.argv[1], session_options(threads=n, threshold=0)) for n in (1, 2)]
dropped = onnxruntime.InferenceSession(sys.argv[1], session_options())
del dropped
print(kept[0].get_providers()[0])
"""
    command = [sys.executable, "-c", script, str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "KerasSparseExecutionProvider\n"), done.stderr
