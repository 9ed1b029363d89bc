"""Model files in both formats, built by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper, save


@pytest.fixture
def onnx_file(tmp_path: Path):
    """Writes an `.onnx` file that holds the given arrays."""

    def write(**values: np.ndarray) -> Path:
        tensors = [numpy_helper.from_array(value, name) for name, value in values.items()]
        nodes = [helper.make_node("Identity", [t.name], [f"{t.name}_out"]) for t in tensors]
        outputs = [helper.make_tensor_value_info(f"{t.name}_out", t.data_type, list(t.dims)) for t in tensors]
        save(helper.make_model(helper.make_graph(nodes, "g", [], outputs, tensors)), tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return write


@pytest.fixture
def sparse_int8() -> np.ndarray:
    values = np.clip(np.rint(np.random.default_rng(0).normal(0, 40, (96, 128))), -127, 127).astype(np.int8)
    values[np.abs(values) < 60] = 0
    return values
