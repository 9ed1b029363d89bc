"""What passes from training to files."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.layout import CONV_2D, DENSE, DEPTHWISE_2D, Layout
from keras_sparse.pattern import NofM, Unstructured
from keras_sparse.sparse_tensor import SparseTensor

LAYOUTS = [(DENSE, (5, 3)), (CONV_2D, (3, 2, 5, 3)), (DEPTHWISE_2D, (3, 3, 5, 2))]


def test_float() -> None:
    values = np.float32([[1.5, 0.0], [0.0, -2.0], [0.0, 0.0]])
    tensor = SparseTensor("d/kernel", values, None, DENSE)
    assert (tensor.zeros, tensor.sparsity) == (4, 4 / 6)
    np.testing.assert_array_equal(tensor.dense(), values)
    assert tensor.dense().dtype == np.float32


def test_quantized_literally() -> None:
    tensor = SparseTensor.quantized("d/kernel", np.float32([[127, 1.0], [-3.2, 0.0], [0.0, -0.5]]), DENSE)
    assert tensor.values.dtype == np.int8
    assert tensor.values.tolist() == [[127, 127], [-3, 0], [0, -64]]  # 63.5 goes to the even 64
    assert tensor.scale is not None
    assert tensor.scale.tolist() == [[1.0, float(np.float32(1) / np.float32(127))]]
    assert tensor.zeros == 2


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
@given(seed=st.integers(0, 2**32 - 1), sparsity=st.sampled_from([0.0, 0.5, 0.9, 1.0]))
def test_the_zeros_are_those_of_the_kernel(layout: Layout, shape: tuple[int, ...], seed: int, sparsity: float) -> None:
    kernel = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    kernel *= Unstructured(sparsity).mask(np.abs(kernel[None, None].reshape(1, 1, -1)), 1.0).reshape(shape)
    tensor = SparseTensor.quantized("k", kernel, layout)
    np.testing.assert_array_equal(tensor.values == 0, kernel == 0)
    np.testing.assert_array_equal(tensor.dense() == 0, kernel == 0)
    assert tensor.dense().shape == shape
    assert tensor.dense().dtype == np.float32
    assert tensor.zeros == np.count_nonzero(kernel == 0)
    steps = np.abs(tensor.dense() - kernel) / tensor.scale
    assert steps.max(initial=0) <= 1.0  # at most half a step, or up to a whole one where a weight is kept from zero


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
def test_a_pattern_that_holds_in_float_holds_in_int8(layout: Layout, shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float32) ** 9  # many near zero
    matrices = layout.to_matrices(kernel)
    masked = layout.from_matrices(matrices * NofM(1, 4).mask(np.abs(matrices), 1.0), shape)
    tensor = SparseTensor.quantized("k", masked, layout)
    assert NofM(1, 4).violation(layout.to_matrices(tensor.values)) is None
    assert tensor.zeros == np.count_nonzero(masked == 0)


def test_quantized_twice_is_quantized_once() -> None:
    once = SparseTensor.quantized("k", np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32), DENSE)
    twice = SparseTensor.quantized("k", once.dense(), DENSE)
    np.testing.assert_array_equal(once.values, twice.values)
    np.testing.assert_array_equal(once.scale, twice.scale)


def test_it_is_frozen() -> None:
    tensor = SparseTensor("k", np.zeros((1, 1)), None, DENSE)
    with pytest.raises(dataclasses.FrozenInstanceError):
        tensor.name = "other"  # type: ignore[misc]
