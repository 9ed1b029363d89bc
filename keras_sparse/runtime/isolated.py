"""Runs a file in a process of its own: one that crashes the runtime takes nothing else with it."""

import argparse
import functools
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from keras_sparse.runtime import one_item, open_session

PACKAGE = Path(__file__).parent.parent

PLACE, NAME = "place ", "name "
"""What the names of arrays in a file begin with: of those that are given by their place, or by name."""

_BOOTSTRAP = """
import sys, types
package = types.ModuleType("keras_sparse")
package.__path__ = [sys.argv.pop(1)]
sys.modules["keras_sparse"] = package
from keras_sparse.runtime.isolated import main
main()
"""
# The child needs a runtime only. The package's own import would load TensorFlow, seconds for each file, and put its
# copy of the runtime's symbols beside the runtime that is to be tried.


class RuntimeFailure(RuntimeError):
    """A runtime did not load or run a file: it refused it, crashed or hung; says which, with its last words.

    >>> import keras_sparse as ks
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "model.tflite")
    ...     _ = path.write_bytes(b"no model")
    ...     try:
    ...         ks.benchmark(path)
    ...     except ks.RuntimeFailure as error:
    ...         print("was refused by its runtime" in str(error))
    True
    """


def run(path, arrays, delegates=True, threads=1, timeout=600, engine=None):
    """The outputs of the file at `path` for `arrays`, computed in a child process.

    Args:
        path: a `.tflite` or `.onnx` file.
        arrays: one array per input, items along the first axis: a list in the file's order, or a dictionary by name.
        timeout: seconds until the child is given up.
        engine: of `open_session`.

    Raises:
        RuntimeFailure: the runtime refused the file, crashed or hung; says which, with its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "in.npz"), Path(folder, "out.npz")
        np.savez(given, **named(arrays))
        options = ["--given", given, "--made", made, *(["--engine", engine] if engine else [])]
        _child(path, options, delegates, threads, timeout)
        with np.load(made) as outputs:
            return [outputs[name] for name in outputs.files]


def memory(path, threads=1, timeout=600, engine=None):
    """Bytes that loading the file and running it once add, at their peak, to a child process; `None` but on Linux."""
    printed = _child(path, ["--memory", *(["--engine", engine] if engine else [])], True, threads, timeout).strip()
    return int(printed) if printed else None


def optimized(path, made, timeout=600):
    """Has ONNX Runtime write to `made` the graph that it makes of a `.onnx` file on this processor, without running it.

    Raises:
        RuntimeFailure: the runtime refused the file, crashed or hung.
    """
    _child(path, ["--optimized", made], True, 1, timeout)


@functools.cache
def saturates(timeout=600):
    """Whether ONNX Runtime cuts off sums of two products on this processor: it is tried, once."""
    return _child("-", ["--saturates"], True, 1, timeout).strip() == "True"


def _child(path, options, delegates, threads, timeout):
    """What the child prints."""
    command = [sys.executable, "-c", _BOOTSTRAP, PACKAGE, path, "--threads", threads, *options]
    command += [] if delegates else ["--no-delegates"]
    return printed(command, path, timeout)


def printed(command, what, timeout):
    """What a command prints. Raises RuntimeFailure where it fails, or does not end: with `what` it ran."""
    words = [str(each) for each in command]
    try:
        child = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise RuntimeFailure(f"{what} did not finish within {timeout} s in its runtime") from error
    if child.returncode:
        lines = [line for line in child.stderr.strip().splitlines() if line.strip()]
        raise RuntimeFailure(f"{what} {_cause(child.returncode)}: {lines[-1] if lines else 'no message'}")
    return child.stdout


def named(arrays):
    """Arrays as keywords of `np.savez`, which has some of its own: by name, those of a list by their place."""
    if isinstance(arrays, dict):
        return {f"{NAME}{name}": each for name, each in arrays.items()}
    return {f"{PLACE}{index}": each for index, each in enumerate(arrays)}


def taken(archive):
    """What was stored as `named` says: a dictionary, or a list."""
    by_name = {name.removeprefix(NAME): archive[name] for name in archive.files if name.startswith(NAME)}
    return by_name or [archive[name] for name in archive.files]


def _cause(code):
    if code < 0:
        return f"crashed its runtime ({signal.Signals(-code).name})"
    return f"was refused by its runtime (exit code {code})"


def _memory(field):
    """A figure of this process, in bytes. (`ru_maxrss` would start from the parent's.)"""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith(field))


def main():
    """What the child does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--given")
    parser.add_argument("--made")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--optimized")
    parser.add_argument("--saturates", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-delegates", action="store_true")
    parser.add_argument("--engine")
    options = parser.parse_args()
    if options.optimized:
        from keras_sparse.runtime.onnxruntime import Session

        Session(options.path, options.threads, optimized=options.optimized)
        return
    if options.saturates:
        from keras_sparse.runtime import saturating

        print(saturating.natively())
        return
    before = _memory("VmRSS")
    session = open_session(options.path, options.threads, not options.no_delegates, options.engine)
    if options.memory:
        session.run(one_item(session))
        print("" if before is None else _memory("VmHWM") - before)
        return
    with np.load(options.given) as arrays:
        inputs = taken(arrays)
    np.savez(options.made, *session.run(inputs))
