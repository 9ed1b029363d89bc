"""Runs any file in ONNX Runtime, with the provider or without it, where int8 sums are exact on every processor."""

from __future__ import annotations

import numpy as np
import onnxruntime
from keras_sparse_edge.provider import NAME, session_options
from onnxruntime.capi import onnxruntime_pybind11_state as state

from .mutations import one

_OWN = [each for each in vars(state).values() if isinstance(each, type) and issubclass(each, Exception)]
ERRORS = (ValueError, RuntimeError, *_OWN)
DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32,
          "tensor(int64)": np.int64, "tensor(float16)": np.float16, "tensor(double)": np.float64,
          "tensor(int16)": np.int16, "tensor(bool)": np.bool_}  # fmt: skip
MOST = 2**22  # values of an input


def session(file, provider, threads, optimized=True):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, threads
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if provider is None:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return onnxruntime.InferenceSession(file, session_options(options, threshold=0, **provider), enable_fallback=0)


def value(port, random, turn):
    """For an input: as the file says, then of another batch or shape, then of none at all."""
    shape = [n if isinstance(n, int) else int(random.integers(1, 4)) for n in port.shape or ()]
    if turn == 1 and shape:
        place = 0 if random.integers(3) else int(random.integers(len(shape)))
        shape[place] = one(random, (1, 2, 3, 5, 17))
    elif turn == 2 and shape:
        shape[0] = 0
    if port.type not in DTYPES or min(shape, default=1) < 0 or np.prod(shape, dtype=float) > MOST:
        raise ValueError("there is no such input")
    with np.errstate(invalid="ignore"):
        return (random.integers(-140, 150, shape) * np.float32(0.05)).astype(DTYPES[port.type])


def outputs(file, provider, threads, seed, optimized=True):
    """All outputs for three inputs, or what raised instead; how many layers are the provider's."""
    made, random, results = session(file, provider, threads, optimized), np.random.default_rng(seed), []
    for turn in range(3):
        try:
            inputs = {port.name: value(port, random, turn) for port in made.get_inputs()}
            results.append([np.asarray(each) for each in made.run(None, inputs)])
        except ERRORS as error:
            results.append(str(error))
    parts = made.get_provider_graph_assignment_info()
    return results, sum(len(part.get_nodes()) for part in parts if part.ep_name == NAME)
