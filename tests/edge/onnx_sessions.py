"""Runs a network in ONNX Runtime, with its own kernels or with the provider before them."""

from __future__ import annotations

import numpy as np
import onnxruntime
from keras_sparse_edge.provider import NAME, session_options


def session(file, threads=1, provider=True, exact=True, **kernels):
    """`exact`: that processors without VNNI cut off no sums of ONNX Runtime's own kernels; the provider never does."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    if not provider:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return onnxruntime.InferenceSession(file, session_options(options, **kernels))


def random_input(made, batch=None, seed=1):
    """Values over the whole range of the networks' first quantization."""
    (port,) = made.get_inputs()
    shape = [n if isinstance(n, int) else batch or 1 for n in port.shape]
    return (np.random.default_rng(seed).integers(-140, 150, shape) * np.float32(0.05)).astype(np.float32)


def run(made, x=None):
    """All outputs for `x`, or for random values."""
    return made.run(None, {made.get_inputs()[0].name: random_input(made) if x is None else x})


def claimed(made):
    """Operations of each of the provider's partitions, without conversions."""
    found = [part.get_nodes() for part in made.get_provider_graph_assignment_info() if part.ep_name == NAME]
    kinds = [[each.op_type for each in part] for part in found]
    return [[kind for kind in part if kind not in ("QuantizeLinear", "DequantizeLinear")] for part in kinds]
