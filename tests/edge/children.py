"""Runs a part of a fuzzer in a process of its own: a crash or a hang there is a finding, and not the end."""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal

LIMIT = 10  # seconds of processor time
WAIT = 60  # seconds in all
ERRORS = (ValueError, RuntimeError)


def child(work, quiet=True):
    """What `work` returns, or a list of the error that it raised; a text of what ended it else: the name of a
    signal, another exception, or "a hang"."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        if quiet and "KERAS_SPARSE_NATIVE" not in os.environ:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT))
        if "LD_PRELOAD" not in os.environ:
            resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))
        try:
            result = work()
        except (*ERRORS, MemoryError) as error:
            result = [str(error)]
        except Exception as error:  # not what a reader of files may raise
            result = f"{type(error).__name__}: {error}"
        with os.fdopen(writer, "wb") as file:
            pickle.dump(result, file)
        os._exit(0)
    os.close(writer)
    ended, _, _ = select.select([reader], [], [], WAIT)
    if not ended:
        os.kill(process, signal.SIGKILL)
    with os.fdopen(reader, "rb") as file:
        content = file.read()
    status = os.waitpid(process, 0)[1]
    if not ended:
        return "a hang"
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else pickle.loads(content)
