"""The ARM64 kernels on emulated AArch64: against plain C and against XNNPACK, bit for bit, in a few emulated runs."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from keras_sparse.runtime import emulated

from . import arm64
from .int8_network import ACTIVATIONS, Network
from .test_delegate import inverted_residuals, perceptron, residuals, separable

WAYS = [
    {"kernels": kernels, "threads": threads, "threshold": "0"}
    for kernels, threads in (("neon-dot", "1"), ("neon-dot", "3"), ("plain", "1"))
]


@pytest.fixture(scope="module")
def library(request, tmp_path_factory):
    """For AArch64; emulation is the shared folder's where the machine has none of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if emulated.command() is None:
            patch.setenv(emulated.VARIABLE, str(request.getfixturevalue("shared") / "tools/arm64run"))
        if reason := arm64.missing():
            pytest.skip(reason)
        yield arm64.compiled(tmp_path_factory.mktemp("arm64"))


def convolution(random, network, x):
    kernel, stride = ((1, 1), (1, 1)) if random.random() < 0.4 else random.integers(1, 4, (2, 2)).tolist()
    return network.conv(
        x, int(random.integers(1, 22)), kernel, stride, bool(random.integers(2)), random.choice([0, 0.3, 0.8, 0.95, 1]),
        **common(random),
    )  # fmt: skip


def depthwise(random, network, x):
    x = network.conv(x, int(random.integers(1, 20)), zero_point=-20, activation="relu")
    kernel = [(3, 3), (5, 5), (3, 3), (1, 1), (2, 3), (7, 4), (3, 9)][random.integers(7)]
    stride = [(1, 1), (2, 2)][random.integers(2)]
    return network.conv(network.depthwise(x, kernel, stride, **common(random)), 6)


def added(random, network, x):
    outputs = int(random.integers(1, 20))
    y, z = network.conv(x, outputs, zero_point=11), network.conv(x, outputs, zero_point=-70)
    options = common(random)
    x = network.add(y, z, options["activation"], options["zero_point"], random.uniform(0.02, 40))
    return network.conv(x, 6)


def padded(random, network, x):
    x = network.pad(network.conv(x, 10, zero_point=-100), *random.integers(0, 5, 4).tolist())
    options = {"kernel": (3, 3), "stride": (2, 2), "same": False}
    y = network.depthwise(x, **options) if random.integers(2) else network.conv(x, 10, **options)
    return network.conv(y, 4)


def common(random):
    return {
        "per_channel": bool(random.integers(2)),
        "activation": sorted(ACTIVATIONS)[random.integers(len(ACTIVATIONS))],
        "zero_point": int(random.integers(-128, 128)),
    }


def images(count):
    random = np.random.default_rng(20171)
    for index in range(count):
        layer = (convolution, convolution, depthwise, depthwise, added, padded)[index % 6]
        size = random.integers(9 if layer is depthwise else 4, 24, 2).tolist()
        shape = (int(random.integers(1, 3)), *size, int(random.integers(1, 20)))
        network = Network(shape, index, int(random.integers(-128, 128)))
        yield f"{index}-{layer.__name__}", network.bytes(layer(random, network, network.input))


def vectors(count):
    random = np.random.default_rng(20172)
    for index in range(count):
        shape = random.integers(1, 25), random.integers(1, 201)
        network = Network([int(n) for n in shape], index, int(random.integers(-128, 128)))
        block = [(16, 4), (1, 16), (1, 4), (1, 1)][index % 4]
        zeros, outputs = random.choice([0, 0.3, 0.8, 0.95, 1]), int(random.integers(1, 71))
        x = network.dense(network.input, outputs, zeros, block, bias=bool(random.integers(2)), **common(random))
        yield f"{index}-dense", network.bytes(x)


def halves(most, channels, zero_point):
    """A convolution whose sums are halved: those of small weights lie between two bytes and go to the even one, those
    of large ones are beyond 16 bits."""
    network = Network((1, 16, 16, channels), zero_point=1, scale=0.5)
    out = network.conv(network.input, 16, per_channel=False, zero_point=zero_point)
    operator, random = network.graph.operators[0], np.random.default_rng(0)
    weights = random.integers(-most, most + 1, (16, 1, 1, channels)).astype(np.int8)
    network.graph.set_constant(operator.inputs[1], weights)
    network.graph.set_constant(operator.inputs[2], np.zeros(16, np.int32))
    network.graph.tensors[operator.inputs[1]].quantization.scale = [0.5]
    network.graph.tensors[out].quantization.scale = [0.5]
    return network.bytes(out)


def check(said, claimed=1):
    for name, found in said.items():
        assert found["claimed"] == claimed, name
        assert found["wrong"] == [0] * len(WAYS), f"{name}: bytes that differ from XNNPACK's, by way: {found['wrong']}"


@pytest.mark.slow
def test_shapes_padding_and_quantization(library):
    files = {"ties": halves(1, 8, -3), "large": halves(127, 64, 90), "low": halves(127, 64, -90)}
    said = arm64.compared({**files, **dict(images(180)), **dict(vectors(60))}, library, WAYS)
    check(said)
    assert len(said) == 243
    assert sum(found["spread"] > 60 for found in said.values()) > 40  # small ones cannot have as many different bytes
    assert said["ties"]["spread"] > 100


@pytest.mark.slow
def test_whole_networks(library):
    networks = (inverted_residuals, separable, residuals, perceptron)
    files = {f"{network.__name__}-{zeros}": network(zeros) for network in networks for zeros in (0.0, 0.5, 0.8, 0.95)}
    said = arm64.compared(files, library, WAYS)
    check(said)
    assert all(found["spread"] > 5 for found in said.values())


@pytest.mark.slow
def test_what_is_claimed_by_itself(library):
    """Nothing of dense networks; of sparse ones what takes fewer instructions."""
    files = {f"{each.__name__}-{zeros}": each(zeros, 40) for each in (separable, residuals) for zeros in (0.0, 0.9)}
    small = Network((1, 4, 4, 64))
    files["small"] = small.bytes(small.conv(small.input, 64, zeros=0.9))
    said = arm64.compared(files, library, [{"kernels": "neon-dot"}])
    claimed = {name: found["claimed"] for name, found in said.items()}
    assert claimed == {"separable-0.0": 0, "separable-0.9": 1, "residuals-0.0": 0, "residuals-0.9": 1, "small": 0}
    assert not any(sum(found["wrong"]) for found in said.values())


@pytest.mark.slow
def test_the_best_kernels_of_the_processor_are_taken(library, tmp_path):
    """And one without the dot product gets none, and says so."""
    script = tmp_path / "best.py"
    script.write_text(
        "import os, sys\n"
        "from ai_edge_litert.interpreter import load_delegate\n"
        "for kernels in ('auto', 'neon-dot', 'avx2'):\n"
        "    try:\n"
        "        load_delegate(os.path.abspath('libkeras_sparse.so'), {'kernels': kernels})\n"
        "        print('took', kernels)\n"
        "    except ValueError as error:\n"
        "        print(str(error).splitlines()[-1])\n"
    )
    said = {}
    for cpu in ("cortex-a76", "cortex-a72"):
        words = [emulated.command(), "--cpu", cpu, "--put", str(library), "--", str(script)]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=300)
        if ran.returncode == 2:
            pytest.skip(f"{words[0]} emulates one processor only: it has no --cpu")
        said[cpu] = ran.stdout.splitlines()
    assert said["cortex-a76"][:2] == ["took auto", "took neon-dot"]
    assert "this processor has auto, neon-dot, plain. Received: avx2" in said["cortex-a76"][2]
    assert "no instructions that the sparse kernels need" in said["cortex-a72"][0]
    assert "this processor has auto, plain. Received: neon-dot" in said["cortex-a72"][1]
