"""OpenVINO, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.runtime import isolated

pytest.importorskip("openvino", reason="OpenVINO is not installed")


def test_any_number_of_items_runs(files):
    from keras_sparse.runtime.openvino import Session

    session = Session(files[".onnx"])
    for count in (1, 5):
        items = [np.ones((count, *port.shape[1:]), port.dtype) for port in session.inputs]
        assert len(session.run(items)[0]) == count


def test_in_a_process_of_its_own(files):
    from keras_sparse.runtime import open_session

    (port,) = open_session(files[".onnx"]).inputs
    x = np.random.default_rng(0).normal(size=(4, *port.shape[1:])).astype(port.dtype)
    ours, theirs = (isolated.run(files[".onnx"], [x], engine=engine)[0] for engine in ("openvino", None))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
