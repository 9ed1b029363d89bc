"""The int8 scheme: scales, rounding, and zero to zero both ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_sparse import int8

magnitudes = st.floats(2.0**-100, 2.0**100, width=32)
values = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda value: -value))
kernels = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=values)


@given(kernels)
def test_zero_maps_to_zero_and_nothing_else_does(kernel: np.ndarray) -> None:
    scale = int8.weight_scale(kernel, (kernel.ndim - 1,))
    quantized = int8.quantize_weights(kernel, scale)
    assert quantized.dtype == np.int8
    np.testing.assert_array_equal(quantized == 0, kernel == 0)
    np.testing.assert_array_equal(np.sign(quantized), np.sign(kernel))


@given(kernels)
def test_each_channel_uses_its_whole_range(kernel: np.ndarray) -> None:
    scale = int8.weight_scale(kernel, (kernel.ndim - 1,))
    assert scale.shape == (1,) * (kernel.ndim - 1) + kernel.shape[-1:]
    assert scale.dtype == np.float32
    quantized = int8.quantize_weights(kernel, scale).astype(int)
    for channel in range(kernel.shape[-1]):
        peak = np.abs(kernel[..., channel]).max()
        assert np.abs(quantized[..., channel]).max() == (127 if peak > 0 else 0)
        assert scale[..., channel].item() == (np.float32(peak) / np.float32(127) if peak > 0 else 1.0)


@given(kernels)
def test_rounding_is_off_by_half_a_step_or_to_1(kernel: np.ndarray) -> None:
    scale = int8.weight_scale(kernel, (kernel.ndim - 1,))
    quantized = int8.quantize_weights(kernel, scale).astype(np.float64)
    exact = kernel.astype(np.float64) / scale
    off = np.abs(quantized - exact)
    lifted = (exact != 0) & (np.abs(exact) < 0.5)
    assert (off[~lifted] <= 0.5 + 1e-4).all()
    assert (np.abs(quantized[lifted]) == 1).all()


@given(kernels)
def test_on_its_grid_a_kernel_stays(kernel: np.ndarray) -> None:
    scale = int8.weight_scale(kernel, (kernel.ndim - 1,))
    quantized = int8.quantize_weights(kernel, scale)
    again = quantized * scale
    np.testing.assert_array_equal(int8.quantize_weights(again, int8.weight_scale(again, (kernel.ndim - 1,))), quantized)


@pytest.mark.parametrize(
    ("weight", "quantized"),
    [(0.5, 1), (1.5, 2), (2.5, 2), (3.5, 4), (-0.5, -1), (-1.5, -2), (-2.5, -2), (1e-20, 1), (-1e-20, -1), (0, 0)],
)
def test_halves_go_to_even_but_never_to_zero(weight: float, quantized: int) -> None:
    assert int8.quantize_weights(np.float32([weight]), np.float32(1.0)).tolist() == [quantized]


def test_the_lowest_level_is_not_used() -> None:
    assert int8.quantize_weights(np.float32([-128.0, -1e9, 1e9]), np.float32(1.0)).tolist() == [-127, -127, 127]


def test_a_scale_for_each_channel_of_several_axes() -> None:
    """A depthwise kernel, HWCM: its output channels are C and M together."""
    kernel = np.zeros((3, 3, 2, 2), np.float32)
    kernel[0, 0] = [[127, 254], [-381, 0]]
    assert int8.weight_scale(kernel, (2, 3)).tolist() == [[[[1, 2], [3, 1]]]]


@pytest.mark.parametrize("tiny", [1e-45, 1e-44, 1e-40, 1e-38, 1.2e-38, 1e-36])
def test_a_channel_that_has_decayed_to_nearly_nothing(tiny: float) -> None:
    """Weight decay drives dead channels below the least normal number; `peak / 127` is then 0."""
    kernel = np.float32([[tiny, 1.0], [0.0, 0.5], [-tiny / 2, 0.0]])
    with np.errstate(all="raise", under="ignore"):
        scale = int8.weight_scale(kernel, (1,))
        quantized = int8.quantize_weights(kernel, scale)
    assert (scale > 0).all()
    np.testing.assert_array_equal(quantized == 0, kernel == 0)
    np.testing.assert_array_equal(quantized * scale == 0, kernel == 0)


@given(st.floats(-1e6, 1e6, width=32), st.floats(0, 1e6, width=32))
def test_a_range_holds_zero_exactly(low: float, length: float) -> None:
    high = low + length
    scale, zero = int8.range_parameters(low, high)
    assert scale > 0
    assert -128 <= zero <= 127
    below, above = (-128 - zero) * float(scale), (127 - zero) * float(scale)
    assert below <= 0.0 <= above
    if high > low and max(high, 0) - min(low, 0) > 1e-30:
        assert below == pytest.approx(min(low, 0), abs=float(scale) * 0.51)
        assert above == pytest.approx(max(high, 0), abs=float(scale) * 0.51)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"),
    [
        (0, 255, 1, -128),
        (-128, 127, 1, 0),
        (-255, 0, 1, 127),
        (5, 255, 1, -128),  # widened down to 0
        (-255, -5, 1, 127),  # widened up to 0
        (-1, 1, 2 / 255, -1),  # 1 / float32(2 / 255) is a little less than 127.5
        (-127.5, 127.5, 1, 0),  # halves go up, as std::round takes them
        (-126.5, 128.5, 1, -1),
        (0, 0, 1, -128),
        (0, 6, 6 / 255, -128),
        (-0.1, 6, 6.1 / 255, -124),
    ],
)
def test_ranges_literally(low: float, high: float, scale: float, zero: int) -> None:
    found, point = int8.range_parameters(low, high)
    assert (float(found), point) == (pytest.approx(scale, rel=1e-6), zero)
    assert type(point) is int
    assert math.isfinite(found)


class TestOnGrid:
    @given(
        hnp.arrays(np.int8, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.integers(-127, 127)),
        st.integers(0, 3),
        st.floats(2.0**-13, 10, width=32),
    )
    def test_values_on_a_grid_come_back(self, levels: np.ndarray, axis: int, step: float) -> None:
        axis %= levels.ndim
        others = tuple(a for a in range(levels.ndim) if a != axis)
        # What training guarantees: some weight of each channel is at the end of the grid, or all are 0.
        peak = np.abs(levels.astype(int)).max(axis=others, keepdims=True)
        levels = np.where((peak > 0) & (np.abs(levels.astype(int)) == peak), np.sign(levels) * 127, levels)
        found = int8.on_grid(levels.astype(np.float32) * np.float32(step), (axis,))
        assert found is not None
        np.testing.assert_array_equal(found[0], levels)
        assert found[1].shape == tuple(n if a == axis else 1 for a, n in enumerate(levels.shape))

    @pytest.mark.parametrize("off", [0.002, -0.002, 0.5])
    def test_one_weight_beside_a_level_is_off_the_grid(self, off: float) -> None:
        levels = np.float32([[127.0, -3.0], [5.0, 127.0]])
        assert int8.on_grid(levels, (0,)) is not None
        levels[0, 1] += off
        assert int8.on_grid(levels, (0,)) is None

    def test_small_channels_are_held_against_their_own_largest_weight(self) -> None:
        levels = np.float32([[127e6, 0.0], [1.27, 0.013]])
        assert int8.on_grid(levels, (0,)) is None

    def test_what_is_nearly_zero_is_off_the_grid(self) -> None:
        """It would become zero, and only zeros do."""
        assert int8.on_grid(np.float32([[127.0, 1e-6]]), (0,)) is None
