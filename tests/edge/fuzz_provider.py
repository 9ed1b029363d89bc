"""Fuzzes the execution provider: files that ONNX Runtime accepts must give its bytes with it, or a clean error.

    python tests/edge/fuzz_provider.py [--seconds 300] [--seed 1] [--first 0] [--runs N] [--kernels NAME] [--keep DIR]

Small networks are changed in structure (onnx_mutations.py). Each is loaded and run in another process: by ONNX
Runtime alone, and then with the provider, which takes all layers that it can; with inputs as the file says, with
others, and with none at all. ONNX Runtime computes exactly here (`session.x64quantprecision`), which it does not by
itself on x86-64 processors without VNNI. Case N of a seed is always the same; a finding says how to repeat it.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import without_package

without_package.install()

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from tests.edge.children import child  # noqa: E402
from tests.edge.exact_onnx import ERRORS, outputs  # noqa: E402
from tests.edge.mutations import one  # noqa: E402
from tests.edge.native import families  # noqa: E402
from tests.edge.onnx_mutations import mutate  # noqa: E402
from tests.edge.qdq_network import Network  # noqa: E402


def images(batch=None, dtype=np.uint8):
    """Convolutions of all kinds, one behind another."""
    network = Network((2, 3, 12, 9), 1, dtype, batch)
    x = network.conv(network.input, 16, (3, 3), (2, 2), (0, 0, 1, 1), zeros=0, activation="relu6")
    x = network.conv(network.depthwise(x, activation="relu"), 12, zeros=0.7, per_channel=False)
    return network.model(network.conv(x, 8, (3, 2), pads=(1, 1, 0, 0), bias=False, zeros=0.7))


def residuals(batch=None):
    network = Network((2, 8, 7, 6), 2, np.uint8, batch)
    x = network.conv(network.input, 16, zeros=0.7, activation="relu")
    y = network.conv(network.conv(x, 8, zeros=0.7), 16, (3, 3), pads=(1, 1, 1, 1), zeros=0.7)
    return network.model(network.conv(network.add(x, y, "relu"), 8), y)


def rows(batch=None):
    """Fully connected layers of all kinds."""
    network = Network((2, 24), 3, np.uint8, batch)
    x = network.dense(network.input, 32, activation="relu")
    x = network.dense(x, 20, transposed=True, per_channel=False)
    return network.model(network.dense(network.dense(x, 16, bias=False), 10, block=(1, 4)))


def sequences():
    network = Network((2, 5, 16), 4)
    return network.model(network.dense(network.dense(network.input, 24, bias=False), 8, bias=False))


def branches():
    """A layer inside of an If, which reads the output of a layer before it."""
    network = Network((2, 8, 7, 6), 5)
    first = network.conv(network.input, 8, activation="relu")
    before = len(network.nodes)
    inner = network.conv(first, 8)
    body = network.nodes[before:]
    del network.nodes[before:]
    shape = network.shapes[inner]
    then = helper.make_graph(body, "then", [], [helper.make_tensor_value_info(inner, TensorProto.UINT8, shape)])
    other = helper.make_graph(
        [helper.make_node("Identity", [first], ["other"])], "else", [],
        [helper.make_tensor_value_info("other", TensorProto.UINT8, shape)],
    )  # fmt: skip
    yes = network.node("Greater", [network.node("ReduceMax", ["x"], keepdims=0), network.constant(np.float32(0))])
    network.nodes.append(helper.make_node("If", [yes], ["chosen"], then_branch=then, else_branch=other))
    network.shapes["chosen"], network.numbers["chosen"] = shape, network.numbers[inner]
    return network.model(network.conv(first, 8), "chosen")


def seeds():
    batches = [images("n"), residuals("n"), rows("n")]
    return [images(), images(dtype=np.int8), residuals(), rows(), sequences(), branches(), *batches]


def attempt(file, provider, seed, threads=1, optimized=True):
    """What `outputs` returns, or a list of the error that it raised."""
    try:
        return outputs(file, provider, threads, seed, optimized)
    except (*ERRORS, MemoryError) as error:
        return [str(error)]


def by_node(file, seed, turn=0):
    """What ONNX Runtime makes of the file node by node, or an error. Its optimizer passes over some mistakes in
    conversions that it fuses, and makes some of its own: sums with a bias near 2^31 overflow in what it fuses."""
    plain = child(lambda: attempt(file, None, seed, optimized=False))
    return plain[0][turn] if isinstance(plain, tuple) else str(plain)


def sound(file, seed, turn=0):
    return not isinstance(by_node(file, seed, turn), str)


def same(some, others):
    return not isinstance(others, str) and all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(some, others, strict=True)
    )


def compare(file, seed, provider, threads=1):
    """What is wrong with the file in the provider, or None; whether ONNX Runtime itself accepts it; nodes claimed.

    A file that ONNX Runtime runs only because its optimizer passes over a mistake may be refused.
    """
    tried = [lambda: attempt(file, None, seed, threads), lambda: attempt(file, provider, seed, threads)]
    both = child(lambda: [each() for each in tried])
    if not isinstance(both, str):
        finding, *counts = judged(file, seed, *both)
        if not finding:
            return None, *counts
    wanted, found = child(tried[0]), child(tried[1])  # neither of them is the other's fault
    if isinstance(wanted, str):  # it ends ONNX Runtime
        return None, False, 0
    return (f"ended by {found}", True, 0) if isinstance(found, str) else judged(file, seed, wanted, found)


def judged(file, seed, wanted, found):
    if isinstance(wanted, list) or isinstance(found, list):
        refused = isinstance(found, list) and isinstance(wanted, tuple) and not isinstance(wanted[0][0], str)
        return f"refused: {found[0]}" if refused and sound(file, seed) else None, False, 0
    (wanted, _), (found, claimed) = wanted, found
    accepted = not isinstance(wanted[0], str)
    for turn, (one_, other) in enumerate(zip(wanted, found, strict=True)):
        where = ("as it is", "resized", "empty")[turn]
        if isinstance(one_, str) and isinstance(other, str):
            continue
        if isinstance(one_, str) or isinstance(other, str):
            if sound(file, seed, turn) != isinstance(other, str):
                continue
            said = f"refused: {other}" if isinstance(other, str) else f"runs, but ONNX Runtime alone says {one_}"
            return f"{where}: {said}", accepted, claimed
        for number, (a, b) in enumerate(zip(one_, other, strict=True)):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"{where}: output {number} is {b.dtype}{b.shape}, not {a.dtype}{a.shape}", accepted, claimed
            if not same([a], [b]) and not same(other, by_node(file, seed, turn)):
                away = np.abs(a.astype(float) - b.astype(float)).max()
                return f"{where}: output {number} is up to {away} away", accepted, claimed
    return None, accepted, claimed


def cases(seed, first, kernels):
    """Number, file, changes and settings of one case after another."""
    files, case = seeds(), first
    while True:
        random = np.random.default_rng([seed, case])
        model = onnx.load_from_string(one(random, files))
        changes = mutate(model, random)
        provider, threads = {"kernels": one(random, kernels)}, one(random, (1, 1, 3))
        yield case, model.SerializeToString(), changes, provider, threads
        case += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, default=10**9)
    parser.add_argument("--kernels", choices=families(), help="an instruction set; by default all by turns")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kernels = [options.kernels] if options.kernels else families()
    end, count, accepted, taken, wrong = time.monotonic() + options.seconds, 0, 0, 0, 0
    for case, file, changes, provider, threads in cases(options.seed, options.first, kernels):
        if count == options.runs or time.monotonic() > end:
            break
        finding, ran, claimed = compare(file, case, provider, threads)
        count, accepted, taken = count + 1, accepted + ran, taken + (claimed > 0)
        if finding:
            wrong += 1
            print(f"--seed {options.seed} --first {case} --runs 1: {changes}, {provider}: {finding}", flush=True)
            if options.keep:
                (options.keep / f"{options.seed}-{case}.onnx").write_bytes(file)
    print(f"{count} cases, {accepted} that ONNX Runtime accepts, {taken} with claimed layers, {wrong} findings")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
