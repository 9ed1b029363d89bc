"""The pool of threads: who takes part in a session, and what a fork of the process does."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from keras_sparse_edge import native as library

from .building import ROOT, build
from .int8_network import Network
from .native import families, interpreter, run


def test_no_unit_is_run_by_a_thread_that_its_session_does_not_have(tmp_path):
    program = build(tmp_path / "pool", ROOT / "tests" / "edge" / "pool.c", options=("-O2",))
    done = subprocess.run([program, "50000"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def threaded():
    network = Network((1, 28, 28, 64))
    x = network.conv(network.conv(network.input, 64, (3, 3), zeros=0.5), 128, (3, 3), zeros=0.5)
    return network.bytes(x)


@pytest.mark.skipif(not families(), reason="the native library is not built: setup.py build_ext --inplace")
@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="no processes are forked here")
def test_a_fork_computes_alone_and_ends():
    delegate = library.delegate(threads=2, threshold=0)
    made = interpreter(threaded(), delegate)
    (wanted,) = run(made)
    child = os.fork()
    if child == 0:  # where an exception would run on in pytest's copy
        processors = os.sched_getaffinity(0)
        right = all(np.array_equal(run(made)[0], wanted) for _ in range(3)) and os.sched_getaffinity(0) == processors
        made._delegates = []
        del delegate, made
        os._exit(0 if right else 1)
    for _ in range(200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the fork hangs")
    assert os.waitstatus_to_exitcode(status) == 0
    assert np.array_equal(run(made)[0], wanted)
