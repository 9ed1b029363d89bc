"""Sessions and interpreters made, run and dropped again and again: what is left of them, and if bytes stay right."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np
import onnxruntime
from keras_sparse_edge import native as library
from keras_sparse_edge.provider import session_options

from . import int8_network, qdq_network
from .native import interpreter, run

PROCESS = Path("/proc/self")
CROWD = 8  # threads


def figure(name):
    lines = (PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def state():
    """KiB, threads and files of this process."""
    gc.collect()
    return figure("VmRSS"), figure("Threads"), len(list((PROCESS / "fd").iterdir()))


def onnx_file():
    """Convolutions, a depthwise one between them, and enough weights that none of them may be left."""
    network = qdq_network.Network((1, 32, 16, 16), batch="n")
    x = network.conv(network.input, 128, (3, 3), pads=(1, 1, 1, 1), zeros=0.8, activation="relu")
    return network.model(network.conv(network.depthwise(x), 32, zeros=0.8))


def session_cycle(file, turn):
    """One session with options of its own; returns how many threads there were meanwhile."""
    options = session_options(threads=1 + turn % 3, threshold=0)
    options.log_severity_level = 3
    made = onnxruntime.InferenceSession(file, options, enable_fallback=0)
    for batch in (1, 1 + turn % 4):
        made.run(None, {"x": np.full((batch, 32, 16, 16), turn % 7, np.float32)})
    return figure("Threads")


def sessions(count, tick=lambda: None):
    """State before and after so many sessions, and the most threads that there were."""
    file, most = onnx_file(), 0
    for turn in range(max(20, count // 10)):
        session_cycle(file, turn)
    before = state()
    for turn in range(count):
        most = max(most, session_cycle(file, turn))
        tick()
    return before, state(), most


def tflite_files():
    """One that the pool's threads run, one that is too little for them, and fully connected layers."""
    large = int8_network.Network((1, 28, 28, 32))
    x = large.conv(large.input, 64, (3, 3), zeros=0.5)
    small = int8_network.Network((1, 9, 9, 16), 1)
    y = small.depthwise(small.conv(small.input, 24, zeros=0.7))
    rows = int8_network.Network((1, 256), 2)
    z = rows.dense(rows.dense(rows.input, 256), 64)
    return [large.bytes(large.conv(x, 16, zeros=0.5)), small.bytes(small.conv(y, 8)), rows.bytes(z)]


def crowd(seconds, tick=lambda: None):
    """Threads that make, run and drop interpreters of one delegate; how many there were, and how many were wrong."""
    files, random = tflite_files(), np.random.default_rng(0)
    inputs = [
        random.integers(-128, 128, interpreter(file).get_input_details()[0]["shape"]).astype(np.int8) for file in files
    ]
    wanted = [run(interpreter(file), x)[0] for file, x in zip(files, inputs, strict=True)]
    delegate = library.delegate(threshold=0)
    done, wrong, end = [0] * CROWD, [], time.monotonic() + seconds

    def work(place):
        while time.monotonic() < end and not wrong:
            which = (place + done[place]) % len(files)
            made = interpreter(files[which], delegate, threads=1 + (place + done[place] // 3) % 3)
            for turn in range(1 + done[place] % 3):
                if not np.array_equal(run(made, inputs[which])[0], wanted[which]):
                    wrong.append((place, which, turn))
            done[place] += 1

    def guarded(place):
        try:
            work(place)
        except (ValueError, RuntimeError) as error:
            wrong.append((place, str(error)))

    threads = [threading.Thread(target=guarded, args=(place,)) for place in range(CROWD)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        tick()
    for thread in threads:
        thread.join()
    return sum(done), wrong
