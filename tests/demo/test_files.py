"""Zeros counted in files; the rest of the demo's files is tested by `test_run.py`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.demo import files


@pytest.mark.parametrize(
    ("scores", "labels", "right"), [([[0.1, 0.9], [0.8, 0.2]], [1, 0], 2), ([[1.0, 1.0], [0.0, 2.0]], [1, 1], 1)]
)
def test_correct(scores, labels, right):
    assert files.correct(np.array(scores), np.array(labels)) == right


def test_kernels_are_counted_in_the_files_and_a_lost_one_is_an_error(tmp_path):
    inputs = keras.Input((5,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="b")(keras.layers.Dense(4, name="a")(inputs)))
    variable = model.get_layer("a").kernel
    kernel = keras.ops.convert_to_numpy(variable).copy()
    kernel[:3] = 0
    variable.assign(kernel)
    artifacts = [ks.export(model, tmp_path / f"m{suffix}") for suffix in (".tflite", ".onnx")]
    found = files.kernels(artifacts, ["a/kernel"])
    assert [(each.name, each.size, each.pruned) for each in found] == [("a/kernel", 20, True), ("b/kernel", 8, False)]
    assert found[0].zeros == {"m.tflite": 12, "m.onnx": 12}
    with pytest.raises(RuntimeError, match=r"\['gone/kernel'\]"):
        files.kernels(artifacts, ["a/kernel", "gone/kernel"])
