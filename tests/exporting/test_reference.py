"""How a file computes, and inputs drawn for a reference."""

from __future__ import annotations

import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.exporting import reference


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_scheme(trained, files, suffix, tmp_path):
    assert reference.scheme(files[suffix].path) == reference.INT8
    assert reference.scheme(ks.export(trained.dense, tmp_path / f"m{suffix}").path) == reference.FLOAT32


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
@pytest.mark.parametrize("scheme", ["float16", "int8-weights"])
def test_scheme_of_float_activations(trained, scheme, suffix, tmp_path):
    assert reference.scheme(ks.export(trained.dense, tmp_path / f"m{suffix}", quantize=scheme).path) == scheme


def test_ports_are_those_of_the_file(files):
    (port,) = reference.ports(files[".tflite"].path)
    assert (port.name, port.shape, port.dtype) == ("image", (1, 12, 12, 3), "float32")


def test_random_items_lie_in_the_range_of_the_input(trained):
    found = reference.find(trained.model)
    low, high = found.input_range
    (items,) = reference.random_items(found, 500)
    assert items.shape == (500, 12, 12, 3) and items.dtype == np.float32
    assert low <= items.min() < 0.9 * low and 0.9 * high < items.max() <= high
    np.testing.assert_array_equal(items, reference.random_items(found, 500)[0])
