"""The bars: each decided by counts, at and beside its limit."""

from __future__ import annotations

import pytest

from keras_sparse.demo.results import FILES, NATIVE_KERNELS, FileResult, KernelResult, NativeResult, bars


def result(correct: int, keras_correct: int = 900, name: str = "sparse int8", images: int = 1000) -> FileResult:
    return FileResult(name, f"{name}.tflite", "LiteRT", correct, keras_correct, images, 1, 1, 1e-6, 1.0)


@pytest.mark.parametrize(
    ("correct", "measured", "holds"),
    [
        (890, "1.00 points below", True),
        (889, "1.10 points below", False),
        (900, "0.00 points below", True),
        (950, "5.00 points above", True),
    ],
)
def test_a_sparse_file_may_lose_a_point(correct: int, measured: str, holds: bool) -> None:
    bar = bars([result(correct)], [], 900, 0.8)[0]
    assert (bar.measured, bar.holds) == (measured, holds)


def test_a_dense_file_is_not_held_against_the_baseline() -> None:
    (bar,) = bars([result(100, 100, "dense int8")], [], 900, 0.8)
    assert "its Keras model" in bar.text and bar.holds


@pytest.mark.parametrize(
    ("correct", "measured", "holds"),
    [
        (901, "+0.10 points", True),
        (899, "-0.10 points", True),
        (902, "+0.20 points", False),
        (898, "-0.20 points", False),
    ],
)
def test_a_file_is_its_keras_model_within_a_tenth_of_a_point(correct: int, measured: str, holds: bool) -> None:
    bar = bars([result(correct)], [], 900, 0.8)[1]
    assert (bar.measured, bar.holds) == (measured, holds)


@pytest.mark.parametrize(("zeros", "holds"), [(2560, True), (2561, False), (2559, False)])
def test_zeros_are_exact_and_kernels_that_are_not_pruned_do_not_count(zeros: int, holds: bool) -> None:
    kernels = [
        KernelResult("entry/kernel", 360, False, {"a.tflite": 0, "a.onnx": 0}),
        KernelResult("pw1/kernel", 3200, True, {"a.tflite": 2560, "a.onnx": zeros}),
    ]
    first, second = bars([], kernels, 900, 0.8)
    assert first.text == "a.tflite: every pruned layer exactly 80 % zeros"
    assert (first.measured, first.holds) == ("1 of 1 layers", True)
    assert second.holds is holds
    assert holds or second.measured == f"0 of 1 layers; pw1/kernel has {zeros} of 3200"


@pytest.mark.parametrize(
    ("speedup", "equal", "holds"), [(1.01, 1000, [True, True]), (1.0, 1000, [True, False]), (2.0, 999, [False, True])]
)
def test_native_kernels_have_to_be_faster_and_equal(speedup: float, equal: int, holds: list[bool]) -> None:
    found = bars([], [], 900, 0.8, NativeResult("a.tflite", "b.tflite", 1e-6, speedup, equal, 1000))
    assert [each.holds for each in found] == holds
    assert [each.measured for each in found] == [f"{equal:,} of 1,000 images", f"{speedup:.2f}x"]


def test_a_bar_without_a_figure_does_not_hold() -> None:
    made = [result(900), FileResult("dense int8", "dense_int8.tflite", "LiteRT", 9, 9, 10, 1, 1, None, None)]
    kernels = [KernelResult("pw1/kernel", 10, True, {"sparse int8.tflite": 8})]
    whole = [each.text for each in bars(made, kernels, 900, 0.8)]
    found = bars(made, kernels, 900, 0.8, missing=["sparse_int8.onnx", NATIVE_KERNELS, "model.ksb"])
    lost = [each for each in found if not each.holds]
    assert [each.text for each in found if each.holds] == whole
    assert [each.text for each in lost] == [
        "sparse_int8.onnx within 1.0 point of the dense float model",
        "sparse_int8.onnx within 0.1 point of its Keras model",
        "sparse_int8.onnx: every pruned layer exactly 80 % zeros",
        "sparse_int8.tflite: native kernels equal to LiteRT bit for bit",
        "sparse_int8.tflite: faster than dense_int8.tflite with native kernels",
    ]
    assert {each.measured for each in lost} == {"no figure, for a step failed"}


def test_as_many_bars_whatever_fails() -> None:
    """Ten with native kernels, none of which holds where nothing could be made."""
    found = bars([], [], 900, 0.8, missing=[*(file for _, file in FILES), NATIVE_KERNELS])
    assert len(found) == 10 and not any(each.holds for each in found)
