"""The faults of stock sparse files, each recognised by what the file says."""

from __future__ import annotations

import pytest

from keras_sparse.targets import tflite_stored
from keras_sparse.targets.network import CONV, DENSE, FLOAT16, FLOAT32, INT8, INT8_WEIGHTS, OTHER, Layer, Stored

OPERATIONS = {DENSE: "FULLY_CONNECTED", CONV: "CONV_2D", OTHER: "CONV_3D"}


def fault(kind=DENSE, scheme=INT8_WEIGHTS, block=(1, 16), version=8, densified=False, cols=64, fullest=4):
    stored = Stored("sparse", 100, block, densified, version, fullest)
    return tflite_stored.fault(Layer("k", kind, OPERATIONS[kind], 1, 8, cols, scheme, zeros=100, stored=stored))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"version": 12}, "version 12 with a sparse table: XNNPACK takes the compressed weights for dense ones"),
        ({"version": 12, "scheme": FLOAT32, "block": (1, 4)}, "version 12"),
        ({"densified": True}, "does not load int8 weights of float operations, here FULLY_CONNECTED"),
        ({"densified": True, "scheme": INT8}, "for CONV_2D only, not for FULLY_CONNECTED"),
        ({"densified": True, "kind": CONV}, "does not load int8 weights of float operations, here CONV_2D"),
        ({"densified": True, "kind": OTHER, "scheme": FLOAT16}, "computes CONV_3D wrongly"),
        ({"block": (1, 4)}, "no kernel for int8-weights weights in blocks of 1x4"),
        ({"block": (1, 1), "scheme": INT8}, "blocks of 1x1"),
        ({"cols": 70}, "70 inputs are no multiple of 16, and LiteRT's block kernel drops the rest"),
        ({"cols": 4112}, "more than 4096"),
        ({"cols": 4096, "fullest": 256}, "a row has 256 blocks"),
        ({"kind": CONV}, "only FULLY_CONNECTED reads tables"),
    ],
)
def test_a_fault_is_named(given, said) -> None:
    assert said in fault(**given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"scheme": INT8},
        {"scheme": INT8, "cols": 4096, "fullest": 256},
        {"cols": 4096, "fullest": 255},
        {"scheme": INT8, "cols": 4112},
        {"scheme": FLOAT32, "block": (1, 4)},
        {"scheme": FLOAT32, "block": (1, 1)},
        {"kind": CONV, "scheme": INT8, "densified": True},
        {"kind": CONV, "scheme": FLOAT32, "densified": True, "block": (1, 1), "version": 1},
        {"scheme": FLOAT32, "densified": True, "version": 1},
        {"kind": OTHER, "scheme": FLOAT32, "densified": True, "block": (1, 1), "version": 1},
        {"block": None, "version": 12},
    ],
)
def test_what_is_right_has_none(given) -> None:
    assert fault(**given) is None
