from __future__ import annotations

import numpy as np
import pytest
from keras_sparse_edge.native import available

from keras_sparse.runtime import open_session
from keras_sparse.runtime.onnxruntime import Session


@pytest.mark.parametrize("delegates", [True, False])
def test_any_number_of_items_runs(files, delegates):
    session = Session(files[".onnx"], delegates=delegates)
    assert [port.name for port in (*session.inputs, *session.outputs)] == ["x", "output"]
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    np.testing.assert_allclose(session.run([x])[0], np.repeat(2 * x.sum(1, keepdims=True) + 1, 2, 1), rtol=1e-6)


def test_wrong_inputs_are_refused(files):
    with pytest.raises(ValueError, match="takes shape"):
        Session(files[".onnx"]).run([np.zeros((1, 4), np.float32)])


@pytest.mark.skipif(not available(), reason="the native kernels are not to be had here")
def test_the_native_kernels_are_an_engine(files):
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    plain, native = open_session(files[".onnx"]), open_session(files[".onnx"], engine="native")
    np.testing.assert_array_equal(native.run([x])[0], plain.run([x])[0])
