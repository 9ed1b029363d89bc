"""Where each limit begins; that LiteRT fails beyond is shown in tests of the files."""

from __future__ import annotations

import pytest

from keras_sparse.targets import tflite_limits
from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS
from keras_sparse.targets.tflite_limits import KERNELS


@pytest.mark.parametrize(
    ("scheme", "inputs", "fullest"),
    [(FLOAT32, 4, 1), (FLOAT32, 40_000, 10_000), (INT8, 16, 1), (INT8, 8192, 512), (INT8_WEIGHTS, 4096, 255)],
)
def test_within(scheme: str, inputs: int, fullest: int) -> None:
    assert KERNELS[scheme].fault(inputs, fullest) is None


@pytest.mark.parametrize(
    ("scheme", "inputs", "fullest", "said"),
    [
        (FLOAT32, 6, 0, "6 inputs are no multiple of 4, and LiteRT's block kernel drops the rest"),
        (INT8, 24, 0, "24 inputs are no multiple of 16, and LiteRT's block kernel drops the rest"),
        (INT8_WEIGHTS, 24, 0, "24 inputs are no multiple of 16, and LiteRT's block kernel drops the rest"),
        (INT8_WEIGHTS, 4112, 0, "4112 inputs are more than 4096, and the int8-weights kernel numbers blocks in 8 bits"),
        (INT8_WEIGHTS, 4096, 256, "a row has 256 blocks, and the int8-weights kernel counts up to 255"),
    ],
)
def test_beyond(scheme: str, inputs: int, fullest: int, said: str) -> None:
    assert KERNELS[scheme].fault(inputs, fullest) == said


@pytest.mark.parametrize(
    ("operation", "scheme"),
    [("CONV_2D", FLOAT32), ("CONV_2D", INT8), ("CONV_2D", FLOAT16), ("FULLY_CONNECTED", FLOAT32), ("CONV_3D", FLOAT32)],
)
def test_what_densify_is_right_before(operation: str, scheme: str) -> None:
    assert tflite_limits.densified_fault(operation, scheme) is None


@pytest.mark.parametrize(
    ("operation", "scheme"),
    [
        ("FULLY_CONNECTED", INT8),
        ("DEPTHWISE_CONV_2D", INT8),
        ("FULLY_CONNECTED", INT8_WEIGHTS),
        ("CONV_2D", INT8_WEIGHTS),
        ("CONV_3D", FLOAT16),
    ],
)
def test_what_it_is_not(operation: str, scheme: str) -> None:
    found = tflite_limits.densified_fault(operation, scheme)
    assert found is not None and operation in found
