"""Delegates, interpreters and sessions made and dropped again and again: no memory, thread or file stays.

KERAS_SPARSE_CYCLES=10000 pytest tests/edge/test_lifetime.py; more with ONNX Runtime and of threads: benchmarks/soak.py
"""

from __future__ import annotations

import os

import pytest
from keras_sparse_edge import native as library

from .int8_network import Network
from .lifetimes import CROWD, PROCESS, crowd, figure, sessions, state
from .native import families, interpreter, run

CYCLES = int(os.environ.get("KERAS_SPARSE_CYCLES", "1000"))
pytestmark = [
    pytest.mark.skipif(not families(), reason="the native library is not built: setup.py build_ext --inplace"),
    pytest.mark.skipif(not PROCESS.exists(), reason="there is no /proc"),
    pytest.mark.slow,
]


def network():
    """Enough work for the pool's threads to be made."""
    made = Network((1, 64, 64, 32))
    x = made.conv(made.input, 64, (3, 3), zeros=0.3)
    return made.bytes(made.conv(made.depthwise(x), 16))


def cycle(file, kernels, turn):
    delegate = library.delegate(threads=1 + turn % 3, threshold=0, kernels=kernels)
    made = interpreter(file, delegate)
    if turn % 2:
        del delegate
    run(made)
    return figure("Threads")


def test_nothing_is_left_of_interpreters_and_delegates():
    file, kernels = network(), families()[0]
    for turn in range(CYCLES // 10):
        most = cycle(file, kernels, turn)
    before = state()
    most = max(cycle(file, kernels, turn) for turn in range(CYCLES))
    after = state()
    print(f"{CYCLES} cycles: KiB, threads and files {before} before, {after} after")
    assert most > before[1]  # there were threads of the pool
    assert after[1:] == before[1:]
    assert after[0] - before[0] < 2048 + CYCLES / 10  # KiB: less than 100 bytes a cycle beside the allocator's unrest


def test_nothing_is_left_of_sessions_of_onnx_runtime():
    before, after, most = sessions(100)
    assert most > before[1]  # there were threads of sessions
    assert after[1:] == before[1:]
    assert after[0] - before[0] < 4096  # KiB


def test_many_threads_with_interpreters_of_one_delegate():
    before = state()[1:]
    made, wrong = crowd(seconds=3)
    assert wrong == [] and made > CROWD
    assert state()[1:] == before
