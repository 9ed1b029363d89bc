"""Runs a network in LiteRT, with XNNPACK alone or with the native delegate before it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras_sparse_edge import native

if "KERAS_SPARSE_NATIVE" in os.environ:  # another build of the library, as with sanitizers
    native.LIBRARY = Path(os.environ["KERAS_SPARSE_NATIVE"])

NAMES = ("avx512-vnni", "avx512vl-vnni", "avx-vnni", "avx2", "neon-dot", "plain")


def families():
    """The instruction sets of the library that this machine has; "plain" among them."""
    found = []
    for name in NAMES if native.LIBRARY.is_file() else ():
        try:
            native.delegate(kernels=name)
        except ValueError:
            continue
        found.append(name)
    return found


def interpreter(file, delegate=None, threads=1, xnnpack=True):
    content = {"model_content": file} if isinstance(file, bytes) else {"model_path": str(file)}
    resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    made = Interpreter(
        **content,
        num_threads=threads,
        experimental_delegates=None if delegate is None else [delegate],
        experimental_op_resolver_type=resolver,
    )
    made.allocate_tensors()
    return made


def run(made, x=None):
    """All outputs for `x`, or for random bytes of the input's shape."""
    (port,) = made.get_input_details()
    if x is None:
        x = np.random.default_rng(1).integers(-128, 128, port["shape"]).astype(np.int8)
    if tuple(port["shape"]) != x.shape:
        made.resize_tensor_input(port["index"], x.shape)
        made.allocate_tensors()
    made.set_tensor(port["index"], x)
    made.invoke()
    return [made.get_tensor(each["index"]) for each in made.get_output_details()]


def partitions(file, **options):
    """How many partitions the delegate makes of a file."""
    made = interpreter(file, native.delegate(**options), xnnpack=False)
    return sum(op["op_name"] == "DELEGATE" for op in made._get_ops_details())
