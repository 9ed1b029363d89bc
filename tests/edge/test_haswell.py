"""Both runtimes and the native kernels on a processor with AVX2 and without VNNI: in qemu, whatever this one is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from keras_sparse_edge import native as library

from . import int8_network, qdq_network
from .native import families, interpreter, run
from .onnx_sessions import random_input, session
from .onnx_sessions import run as run_session

QEMU = shutil.which("qemu-x86_64")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(QEMU is None, reason="there is no qemu-x86_64 to emulate such a processor with"),
    pytest.mark.skipif(not families(), reason="the native library is not built: setup.py build_ext --inplace"),
]

SCRIPT = """
import sys
import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from keras_sparse_edge import native, provider

given, made = np.load("given.npz"), {}
for kernels in ("avx512-vnni", "avx-vnni"):
    try:
        native.delegate(kernels=kernels)
        raise SystemExit(f"this processor has {kernels}")
    except ValueError:
        pass
for name, delegates in (("xnnpack", None), ("delegate", [native.delegate(threshold=0)])):
    interpreter = Interpreter("m.tflite", num_threads=1, experimental_delegates=delegates)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given["tflite"])
    interpreter.invoke()
    made[name] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
for name in ("full", "reduced"):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    plain = onnxruntime.InferenceSession(f"{name}.onnx", options, providers=["CPUExecutionProvider"])
    made[f"{name} plain"] = plain.run(None, {"x": given["onnx"]})[0]
    sparse = onnxruntime.InferenceSession(f"{name}.onnx", provider.session_options(options, threshold=0))
    assert provider.NAME in sparse.get_providers()
    made[f"{name} provider"] = sparse.run(None, {"x": given["onnx"]})[0]
np.savez("made.npz", **made)
"""


def layers(network):
    """All of them taken by the provider, so that none of ONNX Runtime's own is between them."""
    x = network.conv(network.input, 32, zeros=0.6, activation="relu")
    x = network.depthwise(x, activation="relu")
    return network.model(network.conv(x, 24, (3, 3), pads=(1, 1, 1, 1), zeros=0.6))


def reduced(content):
    """The same file with weights that keep to 7 bits."""
    model = onnx.load_from_string(content)
    for each in model.graph.initializer:
        values = onnx.numpy_helper.to_array(each)
        if values.dtype == np.int8 and values.ndim == 4:
            each.CopyFrom(onnx.numpy_helper.from_array(np.clip(values, -64, 64), each.name))
    return model.SerializeToString()


def test_a_haswell_processor_gives_the_bytes_of_this_one(tmp_path):
    network = int8_network.Network((1, 9, 11, 16), 4)
    x = network.conv(network.input, 24, zeros=0.6, activation="relu", zero_point=-128)
    x = network.depthwise(x, (3, 3), (1, 1), activation="relu", zero_point=-128)
    tflite = network.bytes(network.conv(x, 19, (3, 3), zeros=0.6))
    full = layers(qdq_network.Network((2, 16, 9, 7), 4))
    files = {"full": full, "reduced": reduced(full)}
    (tmp_path / "m.tflite").write_bytes(tflite)
    for name, content in files.items():
        (tmp_path / f"{name}.onnx").write_bytes(content)
    plain = interpreter(tflite)
    given = {
        "tflite": np.random.default_rng(0).integers(-128, 128, (1, 9, 11, 16)).astype(np.int8),
        "onnx": random_input(session(full, provider=False), 2),
    }
    np.savez(tmp_path / "given.npz", **given)
    paths = os.pathsep.join([str(Path(library.__file__).parents[1]), *(path for path in sys.path if path)])
    command = [QEMU, "-cpu", "Haswell", "-E", f"PYTHONPATH={paths}", Path(sys.executable).resolve(), "-c", SCRIPT]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr[-2000:]
    made = np.load(tmp_path / "made.npz")
    (wanted,) = run(plain, given["tflite"])
    for name in ("xnnpack", "delegate"):
        np.testing.assert_array_equal(made[name], wanted, err_msg=name)
    for name, content in files.items():
        exact = run_session(session(content, provider=False), given["onnx"])[0]
        assert len(np.unique(exact)) > 20
        np.testing.assert_array_equal(made[f"{name} provider"], exact, err_msg=name)
        # ONNX Runtime's own kernels cut sums off there, where weights have all 8 bits.
        assert (made[f"{name} plain"] == exact).all() == (name == "reduced")
