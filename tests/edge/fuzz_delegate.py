"""Fuzzes the native delegate: files that LiteRT accepts must give the same bytes with it, without a crash or a hang.

    python tests/edge/fuzz_delegate.py [--seconds 300] [--seed 1] [--first 0] [--runs N] [--kernels NAME] [--keep DIR]

Small networks are changed in structure (mutations.py). Each is loaded and run in a process of its own: by LiteRT alone,
and if that goes well with the delegate, which takes all layers that it can. Then the input is resized. Case N of a seed
is always the same; a finding says how to repeat it. With sanitizers: tests/edge/test_sanitized.py.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import without_package

without_package.install()

import numpy as np  # noqa: E402
from ai_edge_litert import schema_py_generated as schema  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402
from keras_sparse_edge import native as library  # noqa: E402

from keras_sparse.exporting.tflite_model import Graph, dump, load  # noqa: E402
from tests.edge.children import ERRORS, child  # noqa: E402
from tests.edge.mutations import mutate, one  # noqa: E402
from tests.edge.native import families, interpreter  # noqa: E402
from tests.edge.test_delegate import densified, inverted_residuals, perceptron, residuals, separable  # noqa: E402

AWAY = 5  # steps between XNNPACK and the reference kernels at the end of these networks
TOO_LARGE, NO_FIT = "2^30 bytes", "do not fit each other"


def seeds():
    small = [inverted_residuals(0.8, 8), separable(0.8, 9), residuals(0.8, 5), perceptron(0.8, 24)]
    return [*small, densified(separable(0.9, 9)), densified(residuals(0.9, 5))]


def parsed(file):
    """As it was written, damaged as it may be: `load` refuses what LiteRT accepts."""
    return Graph(schema.ModelT.InitFromPackedBuf(file, 0))


def shapes(shape, random):
    """One to try after the first."""
    shape = [int(n) for n in shape]
    change = random.integers(6)
    if change == 0:
        shape.append(1)
    elif change == 1 and len(shape) > 1:
        shape.pop()
    elif shape:
        shape[int(random.integers(len(shape)))] = one(random, (0, 1, 2, 3, 5, 8, 13, 40))
    return shape


def outputs(file, delegate, seed, xnnpack=True):
    """Bytes of all outputs, as they are and once more resized; what raised instead."""
    made = interpreter(file, delegate() if delegate else None, xnnpack=xnnpack)
    random, results = np.random.default_rng(seed), []
    for turn in range(2):
        try:
            ports = made.get_input_details()
            if turn and ports:
                made.resize_tensor_input(ports[0]["index"], shapes(ports[0]["shape"], random))
                made.allocate_tensors()
                ports = made.get_input_details()
            for port in ports:
                values = random.integers(-128, 128, port["shape"]).astype(np.int8)
                made.set_tensor(port["index"], values.astype(port["dtype"]))
            made.invoke()
            results.append([made.get_tensor(port["index"]).copy() for port in made.get_output_details()])
        except ERRORS as error:
            results.append(str(error))
            if not turn:
                break
    return results


def _loaded(file, options):
    Interpreter(model_content=file, experimental_delegates=[library.delegate(threshold=0, **options)])
    return []


def in_order(graph):
    """Whether all that is read was made before; what else is read is whatever the memory had."""
    made = {int(t) for t in graph.graph.inputs} | {-1}
    made |= {i for i, tensor in enumerate(graph.tensors) if graph.model.buffers[tensor.buffer].data is not None}
    for operator in graph.operators:
        if not {int(t) for t in operator.inputs} <= made:
            return False
        made |= {int(t) for t in operator.outputs}
    return {int(t) for t in graph.graph.outputs} <= made


def stale(file):
    """Whether the shapes that the file says are not those that LiteRT finds: then a claim can turn out wrong."""
    said = [[] if tensor.shape is None else [int(n) for n in tensor.shape] for tensor in parsed(file).tensors]
    found = {each["index"]: each["shape"].tolist() for each in interpreter(file, xnnpack=False).get_tensor_details()}
    return any(said[index] != shape for index, shape in found.items() if index < len(said))


def whole(file):
    """Whether XNNPACK runs all of it. It counts another way than the kernels that LiteRT has for the rest."""
    for tensor in parsed(file).tensors:
        scales = np.array(_scales(tensor), np.float32)
        if not (np.isfinite(scales) & (scales >= np.finfo(np.float32).tiny)).all():
            return False
    return sum(each["op_name"] == "DELEGATE" for each in interpreter(file)._get_ops_details()) == 1


def _scales(tensor):
    found = tensor.quantization
    return [] if found is None or found.scale is None else found.scale


def certain(file, seed, wanted):
    """Whether LiteRT with and without XNNPACK gives about the same: a file that it misreads it misreads in two ways."""
    other = child(lambda: outputs(file, None, seed, xnnpack=False))
    if isinstance(other, str) or len(other) != len(wanted):
        return False
    for one_, two in zip(wanted, other, strict=True):
        if isinstance(one_, str) or isinstance(two, str):
            continue
        if any(a.shape != b.shape or np.abs(a.astype(float) - b).max(initial=0) > AWAY
               for a, b in zip(one_, two, strict=True)):  # fmt: skip
            return False
    return True


def sound(tensor):
    """Whether the tables of a sparse tensor are its own: with others LiteRT's kernels write where they must not."""
    tables, shape = tensor.sparsity, [int(n) for n in tensor.shape]
    order, levels = [int(t) for t in tables.traversalOrder], tables.dimMetadata
    blocks = [] if tables.blockMap is None else [int(axis) for axis in tables.blockMap]
    if sorted(order) != list(range(len(levels))) or len(order) != len(shape) + len(blocks):
        return False
    sizes = {axis: levels[order.index(len(shape) + i)].denseSize for i, axis in enumerate(blocks)}
    if len(sizes) != len(blocks) or not set(sizes) <= set(range(len(shape))) or min(sizes.values(), default=1) < 1:
        return False
    parents = 1
    for level, axis in zip(levels, order, strict=True):
        extent = sizes[blocks[axis - len(shape)]] if axis >= len(shape) else shape[axis] // sizes.get(axis, 1)
        if level.format == 0:
            if level.denseSize != extent or (axis < len(shape) and shape[axis] % sizes.get(axis, 1)):
                return False
            parents *= extent
            continue
        if axis >= len(shape) or level.arraySegments is None or level.arrayIndices is None:
            return False
        segments, indices = np.array(level.arraySegments.values), np.array(level.arrayIndices.values)
        if len(segments) != parents + 1 or segments[0] != 0 or segments[-1] != len(indices):
            return False
        if (np.diff(segments.astype(int)) < 0).any() or ((indices < 0) | (indices >= extent)).any():
            return False
        parents = len(indices)
    return True


def compare(file, seed, options):
    """What is wrong with the file in the delegate, or None; and whether LiteRT itself accepts it."""
    if not all(sound(tensor) for tensor in parsed(file).tensors if tensor.sparsity is not None):
        found = child(lambda: _loaded(file, options))  # what the delegate itself reads, but no kernel of LiteRT
        return f"ended by {found}" if isinstance(found, str) else None, False
    wanted = child(lambda: outputs(file, None, seed))
    if isinstance(wanted, str) or isinstance(wanted[0], str):
        return None, False
    found = child(lambda: outputs(file, lambda: library.delegate(threshold=0, **options), seed))
    if isinstance(found, str):
        # LiteRT itself may crash once the input is resized
        again = child(lambda: outputs(file, None, seed))
        return (f"ended by {found}" if not isinstance(again, str) else None), True
    for turn, (one_, other) in enumerate(zip(wanted, found, strict=False)):
        if isinstance(one_, str):
            continue
        if isinstance(other, str):
            large = TOO_LARGE in other or NO_FIT in other
            # parts of a graph find each other's shapes in the file: where those are wrong, one of them may refuse
            if (turn and large) or not in_order(parsed(file)) or child(lambda: stale(file)):
                continue
            return f"refused ({'resized' if turn else 'as it is'}): {other}", True
        for number, (a, b) in () if not in_order(parsed(file)) else enumerate(zip(one_, other, strict=True)):
            if a.shape != b.shape:
                return f"output {number} ({'resized' if turn else 'as it is'}): {b.shape}, not {a.shape}", True
            if not np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and certain(file, seed, wanted):
                if (away := np.abs(a.astype(float) - b.astype(float)).max()) <= AWAY and child(lambda: not whole(file)):
                    continue
                return f"output {number} ({'resized' if turn else 'as it is'}): up to {away} away", True
    return None, True


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
    files, names = seeds(), [options.kernels] if options.kernels else families()
    end, case, accepted, wrong = time.monotonic() + options.seconds, options.first, 0, 0
    while case < options.first + options.runs and time.monotonic() < end:
        random = np.random.default_rng([options.seed, case])
        model = load(one(random, files))
        changes = mutate(model, random)
        given = {"kernels": one(random, names), "threads": one(random, (1, 1, 3))}
        try:
            file = dump(model)
        except Exception:  # what the schema cannot write is no file
            case += 1
            continue
        finding, ran = compare(file, case, given)
        accepted += ran
        if finding:
            wrong += 1
            print(f"--seed {options.seed} --first {case} --runs 1: {changes}, {given}: {finding}", flush=True)
            if options.keep:
                (options.keep / f"{options.seed}-{case}.tflite").write_bytes(file)
        case += 1
    print(f"{case - options.first} cases, {accepted} that LiteRT accepts, {wrong} findings")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
