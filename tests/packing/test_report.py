"""What packing did, in words: one constant of each kind, coded and described."""

from __future__ import annotations

import json

import numpy as np
import pytest

from keras_sparse.exporting.spans import Span
from keras_sparse.packing.choose import Choice, choose
from keras_sparse.packing.report import PackedTensor, PackReport, describe


def described(values: np.ndarray) -> PackedTensor:
    """Of the bytes of one tensor alone."""
    (choice,) = choose(values.tobytes(), [Span(0, values.nbytes, values.dtype.name, values.shape, "k")])
    return describe(choice)


def sparse(pattern: str) -> np.ndarray:
    """64 x 64 of int8, with zeros of a pattern."""
    numbers = np.random.default_rng(0)
    values = numbers.integers(1, 100, (64, 64)).astype(np.int8)
    if pattern == "unstructured":
        values[numbers.random(values.shape) < 0.9] = 0
    elif pattern == "2:4":
        values.reshape(-1, 4)[numbers.random((1024, 4)).argsort(1) < 2] = 0
    elif pattern == "blocks":
        values.reshape(64, 4, 16)[numbers.random((64, 4)) < 0.8] = 0
    return values


@pytest.mark.parametrize(
    ("pattern", "coding"),
    [
        ("unstructured", "values"),  # zero is one of them
        ("2:4", "2:4 index + values"),
        ("blocks", "16x1 block index + values"),
    ],
)
def test_the_coding_is_named(pattern: str, coding: str) -> None:
    found = described(sparse(pattern))
    assert found.coding == coding
    assert (found.name, found.dtype, found.shape, found.bytes) == ("k", "int8", (64, 64), 4096)
    assert found.bits_per_weight is not None and found.bound is not None
    assert 0.9 * found.bound < found.bits_per_weight < 8


def test_what_is_too_small_for_a_record_is_left_to_the_compressor() -> None:
    found = describe(Choice(Span(0, 6, "int8", (2, 3), "k"), None))
    assert (found.coding, found.bits_per_weight, found.bound) == ("LZMA", None, None)


def test_the_report_is_read_by_people_and_machines() -> None:
    coded = PackedTensor("first/kernel", "int8", (64, 64), 4096, "2:4 index + values", 4.6464, 4.6)
    left = PackedTensor("first/bias", "float32", (64,), 256, "LZMA", None, None)
    report = PackReport("model.pack", 5000, 2500, (coded, left))
    printed = str(report)
    assert "64x64" in printed and "4.646" in printed and "4.600" in printed
    assert printed.endswith("5.0 kB packed into 2.5 kB (50.0 %): model.pack")
    assert json.loads(json.dumps(report.to_dict()))["tensors"][1]["bound"] is None
