"""Axis orders: literal indices, inverses for every row, and layers that have no row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse import layout
from keras_sparse.layout import ROWS, Layout

rows = st.sampled_from(sorted(ROWS.items(), key=lambda item: item[0]))


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@st.composite
def kernels(draw: st.DrawFn) -> tuple[Layout, np.ndarray]:
    _, row = draw(rows)
    shape = draw(st.lists(st.integers(1, 4), min_size=len(row.keras), max_size=len(row.keras)))
    return row, numbered(tuple(shape))


@given(kernels())
def test_every_order_and_back(case: tuple[Layout, np.ndarray]) -> None:
    row, kernel = case
    for order in (row.matrices, row.tflite, row.onnx):
        if order is not None:
            there = row.to(order, kernel)
            assert there.ndim == len(order)
            assert sorted(there.ravel()) == sorted(kernel.ravel())
            np.testing.assert_array_equal(row.back(order, there, kernel.shape), kernel)


@given(kernels())
def test_matrices_have_the_output_channels_as_rows(case: tuple[Layout, np.ndarray]) -> None:
    row, kernel = case
    matrices = row.to_matrices(kernel)
    outputs = int(np.prod([kernel.shape[axis] for axis in row.channel_axes]))
    assert matrices.shape[1] == outputs
    assert matrices.size == kernel.size
    np.testing.assert_array_equal(row.from_matrices(matrices, kernel.shape), kernel)
    np.testing.assert_array_equal(row.from_matrices(matrices > 3, kernel.shape), kernel > 3)  # masks too
    # A channel's weights lie in one row of each matrix: its maximum is the same in both orders.
    channels = np.moveaxis(kernel, row.channel_axes, range(len(row.channel_axes))).reshape(outputs, -1)
    np.testing.assert_array_equal(matrices.max(axis=(0, 2)), channels.max(axis=1))


def test_dense() -> None:
    kernel = numbered((5, 3))  # (in, out)
    row = ROWS["Dense", "kernel"]
    assert row.tflite is not None and row.onnx is not None
    assert row.to_matrices(kernel).shape == (1, 3, 5)
    assert row.to_matrices(kernel)[0, 2, 4] == kernel[4, 2]
    assert row.to(row.tflite, kernel)[2, 4] == kernel[4, 2]
    assert row.to(row.onnx, kernel)[4, 2] == kernel[4, 2]
    assert row.channel_axes == (1,)


def test_conv_2d() -> None:
    kernel = numbered((2, 3, 4, 5))  # (h, w, in, out)
    row = ROWS["Conv2D", "kernel"]
    assert row.tflite is not None and row.onnx is not None
    matrices = row.to_matrices(kernel)
    assert matrices.shape == (6, 5, 4)
    h, w, i, o = 1, 2, 3, 4
    assert matrices[h * 3 + w, o, i] == kernel[h, w, i, o]
    assert row.to(row.tflite, kernel).shape == (5, 2, 3, 4)
    assert row.to(row.tflite, kernel)[o, h, w, i] == kernel[h, w, i, o]
    assert row.to(row.onnx, kernel)[o, i, h, w] == kernel[h, w, i, o]
    assert row.channel_axes == (3,)


def test_conv_2d_transpose() -> None:
    kernel = numbered((2, 3, 4, 5))  # (h, w, out, in)
    row = ROWS["Conv2DTranspose", "kernel"]
    assert row.tflite is not None and row.onnx is not None
    matrices = row.to_matrices(kernel)
    assert matrices.shape == (6, 4, 5)
    h, w, o, i = 1, 2, 3, 4
    assert matrices[h * 3 + w, o, i] == kernel[h, w, o, i]
    assert row.to(row.tflite, kernel)[o, h, w, i] == kernel[h, w, o, i]
    assert row.to(row.onnx, kernel)[i, o, h, w] == kernel[h, w, o, i]
    assert row.channel_axes == (2,)


def test_depthwise_conv_2d() -> None:
    kernel = numbered((2, 3, 4, 5))  # (h, w, channel, multiplier)
    row = ROWS["DepthwiseConv2D", "kernel"]
    assert row.tflite is not None and row.onnx is not None
    matrices = row.to_matrices(kernel)
    assert matrices.shape == (1, 20, 6)
    h, w, c, m = 1, 2, 3, 4
    assert matrices[0, c * 5 + m, h * 3 + w] == kernel[h, w, c, m]
    assert row.to(row.tflite, kernel)[0, h, w, c * 5 + m] == kernel[h, w, c, m]
    assert row.to(row.onnx, kernel)[c * 5 + m, 0, h, w] == kernel[h, w, c, m]
    assert row.channel_axes == (2, 3)


def test_conv_3d_and_1d() -> None:
    kernel = numbered((2, 3, 2, 4, 5))
    row = ROWS["Conv3D", "kernel"]
    assert row.to_matrices(kernel)[(1 * 3 + 2) * 2 + 1, 4, 3] == kernel[1, 2, 1, 3, 4]
    kernel = numbered((3, 4, 5))
    row = ROWS["Conv1D", "kernel"]
    assert row.tflite is not None
    assert row.to_matrices(kernel)[2, 4, 3] == kernel[2, 3, 4]
    assert row.to(row.tflite, kernel)[4, 0, 2, 3] == kernel[2, 3, 4]
    assert ROWS["Conv1DTranspose", "kernel"].to_matrices(kernel)[2, 3, 4] == kernel[2, 3, 4]
    assert ROWS["DepthwiseConv1D", "kernel"].to_matrices(kernel)[0, 3 * 5 + 4, 2] == kernel[2, 3, 4]


def test_a_kernel_of_another_rank_is_refused() -> None:
    with pytest.raises(ValueError, match=r"axes HWIO was expected\. Received: shape \(3, 4\)"):
        ROWS["Conv2D", "kernel"].to_matrices(numbered((3, 4)))


# Which layout


@pytest.mark.parametrize(("layer", "variable"), sorted(ROWS))
def test_a_row_is_found_by_the_class_and_its_bases(layer: str, variable: str) -> None:
    row = ROWS[layer, variable]
    rank = len(row.keras)
    assert layout.find((layer, "Layer"), variable, rank) is row
    assert layout.find(("Mine", layer, "Layer"), variable, rank) is row
    assert layout.find((layer,), "bias", 1) is None


def test_the_nearest_base_wins() -> None:
    assert (
        layout.find(("Conv2DTranspose", "BaseConvTranspose", "Conv2D"), "kernel", 4)
        is ROWS["Conv2DTranspose", "kernel"]
    )


@pytest.mark.parametrize(
    ("variable", "rank"), [("bias", 1), ("gamma", 1), ("kernel", 1), ("embeddings", 2), ("kernel_scale", 2)]
)
def test_what_is_no_kernel_has_no_layout(variable: str, rank: int) -> None:
    assert layout.find(("Mine",), variable, rank) is None


@pytest.mark.parametrize("variable", ["kernel", "recurrent_kernel"])
def test_the_last_axis_of_an_unknown_layer_is_its_outputs(variable: str) -> None:
    found = layout.find(("LSTMCell", "Layer"), variable, 2)
    assert found is not None
    kernel = numbered((3, 8))
    assert found.to_matrices(kernel).shape == (1, 8, 3)
    assert found.to_matrices(kernel)[0, 7, 2] == kernel[2, 7]
    found = layout.find(("ConvLSTMCell", "Layer"), variable, 4)
    assert found is not None
    kernel = numbered((2, 3, 4, 5))
    assert found.to_matrices(kernel)[0, 4, (1 * 3 + 2) * 4 + 3] == kernel[1, 2, 3, 4]
    assert found.channel_axes == (3,)


@pytest.mark.parametrize(
    ("equation", "shape", "matrices", "channel_axes"),
    [
        ("ab,bc->ac", (3, 4), (1, 4, 3), (1,)),
        ("...x,xy->...y", (3, 4), (1, 4, 3), (1,)),
        ("abc, cde -> abde", (3, 2, 5), (1, 10, 3), (1, 2)),  # query of an attention: heads and their width
        ("abcd,cde->abe", (2, 5, 3), (1, 3, 10), (2,)),  # its output
        ("ab,cb->ac", (3, 4), (1, 3, 4), (0,)),  # outputs first
    ],
)
def test_einsum_dense(
    equation: str, shape: tuple[int, ...], matrices: tuple[int, ...], channel_axes: tuple[int, ...]
) -> None:
    found = layout.find(("EinsumDense", "Layer"), "kernel", len(shape), equation)
    assert found is not None
    assert found.channel_axes == channel_axes
    kernel = numbered(shape)
    assert found.to_matrices(kernel).shape == matrices
    np.testing.assert_array_equal(found.from_matrices(found.to_matrices(kernel), shape), kernel)


def test_attention_literally() -> None:
    kernel = numbered((3, 2, 5))  # (in, head, width)
    found = layout.find(("EinsumDense",), "kernel", 3, "abc,cde->abde")
    assert found is not None
    assert found.to_matrices(kernel)[0, 1 * 5 + 4, 2] == kernel[2, 1, 4]
