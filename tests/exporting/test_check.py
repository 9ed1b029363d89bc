"""What counts as the same, and what does not."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from keras_sparse import layout
from keras_sparse.exporting import check
from keras_sparse.exporting.stored import StoredModel, StoredTensor
from keras_sparse.runtime import isolated
from keras_sparse.runtime.isolated import RuntimeFailure
from keras_sparse.runtime.ways import Way
from keras_sparse.sparse_tensor import SparseTensor


def test_differences_are_over_all_outputs_together():
    gap = check.Difference.of([np.array([1.0, 2.0]), np.array([[3.0]])], [np.array([1.0, 0.0]), np.array([[3.0]])])
    assert gap.largest == 2.0
    assert gap.rms == pytest.approx((4 / 3) ** 0.5)


def test_a_float_file_is_held_to_float_rounding():
    (allowed,) = check.tolerances([np.array([10.0, -50.0])], None)
    assert allowed.largest == pytest.approx(50 * check.FLOAT_TOLERANCE)


def test_an_int8_file_is_held_to_what_one_level_moves():
    references, jittered = [np.zeros(4)], [np.array([0.0, 0.3, -0.3, 0.0])]
    (allowed,) = check.tolerances(references, jittered)
    assert allowed.largest == pytest.approx(0.6)
    assert allowed.rms == pytest.approx(2 * (0.18 / 4) ** 0.5)


def test_every_output_is_held_to_its_own_size():
    references = [np.full(4, 1e6), np.ones(4)]
    limits = check.tolerances(references, None)
    gap, allowed = check.worst([references[0], references[1] + 0.1], references, limits)
    assert gap.largest == pytest.approx(0.1) and allowed.largest == pytest.approx(check.FLOAT_TOLERANCE)


def dense(values, scale=(0.5, 0.25)):
    return SparseTensor("d/kernel", np.int8(values), np.float32([scale]), layout.DENSE)


def stored(values, zero_point=(0, 0), axis=0, name="w"):
    return StoredTensor(name, np.int8(values), np.float32([1, 1]), np.array(zero_point), axis)


VALUES = [[1, 0], [0, -127], [127, 3]]  # (inputs, outputs); the file has (outputs, inputs)


def test_weights_are_found_by_their_values():
    model = StoredModel((stored([[9, 9, 9], [0, 0, 0]], name="other"), stored([[1, 0, 127], [0, -127, 3]])), ())
    assert check.weights(model, [dense(VALUES)], "tflite")["d/kernel"].name == "w"


def test_a_channel_may_be_negated_as_a_whole_but_not_in_part():
    negated = StoredModel((stored([[-1, 0, -127], [0, -127, 3]]),), ())
    assert check.weights(negated, [dense(VALUES)], "tflite")
    partly = StoredModel((stored([[-1, 0, 127], [0, -127, 3]]),), ())
    with pytest.raises(check.ExportError, match=r"d/kernel: its int8 values \(2, 3\), 2 of them 0, are not in"):
        check.weights(partly, [dense(VALUES)], "tflite")


@pytest.mark.parametrize(
    "wrong",
    [
        stored([[1, 0, 126], [0, -127, 3]]),  # another value
        stored([[1, 1, 127], [0, -127, 3]]),  # a zero lost
        stored([[1, 0, 127], [0, -127, 3]], zero_point=(0, 1)),  # zero is not zero
        StoredTensor("w", np.float32([[1, 0, 127], [0, -127, 3]])),  # another type
        stored([[1, 0], [0, -127], [127, 3]]),  # another axis order
    ],
)
def test_what_is_not_the_kernel_is_refused(wrong):
    with pytest.raises(check.ExportError, match="d/kernel"):
        check.weights(StoredModel((wrong,), ()), [dense(VALUES)], "tflite")


def test_two_equal_kernels_may_be_one_tensor_or_two():
    one, two = stored([[1, 0, 127], [0, -127, 3]]), stored([[1, 0, 127], [0, -127, 3]])
    kernels = [dense(VALUES), dataclasses.replace(dense(VALUES), name="e/kernel")]
    found = check.weights(StoredModel((one,), ()), kernels, "tflite")
    assert found["d/kernel"] is found["e/kernel"] is one
    found = check.weights(StoredModel((one, two), ()), kernels, "tflite")
    assert found["d/kernel"] is one and found["e/kernel"] is two


def test_float_kernels_are_found_up_to_a_factor_per_channel():
    kernel = SparseTensor("d/kernel", np.float32([[1, 0], [2, 3]]), None, layout.DENSE)
    scaled = StoredTensor("w", np.float32([[5, 10], [0, -1]]))  # a batch norm folded into it
    assert check.weights(StoredModel((scaled,), ()), [kernel], "tflite")
    for other in ([[5, 11], [0, 1]], [[5, 10], [0.1, 1]]):
        assert check.weights(StoredModel((StoredTensor("w", np.float32(other)),), ()), [kernel], "tflite") == {}


def test_a_channel_of_zeros_is_right_only_where_a_batch_norm_silences_it():
    model = StoredModel((stored([[0, 0, 0], [0, -127, 3]]),), ())
    assert check.weights(model, [dense(VALUES)], "tflite", silenced=True)
    with pytest.raises(check.ExportError):
        check.weights(model, [dense(VALUES)], "tflite")


WAY = Way("ONNX Runtime", isolated.run)


class TestOutputs:
    def run(self, files, x, references, jittered=None, way=WAY):
        ran = functools.partial(way.run, files[".onnx"].path, way.first({"image": x}))
        return check.outputs(ran, way, references, jittered, "samples")

    def test_the_model_s_own_outputs_pass(self, files, trained):
        wanted = isolated.run(files[".onnx"].path, [trained.x])
        report = self.run(files, trained.x, wanted)
        assert (report.rms, report.largest, report.agreement, report.samples) == (0.0, 0.0, 1.0, 256)

    def test_other_outputs_fail(self, files, trained):
        wanted = trained.model.predict(trained.x, verbose=0)
        with pytest.raises(check.ExportError, match="differ from the model's by"):
            self.run(files, trained.x, [wanted[::-1]], [wanted[::-1] + 0.01])

    def test_in_a_runtime_that_it_was_not_made_for_they_are_a_problem(self, files, trained):
        way = dataclasses.replace(WAY, required=False, items=3)
        report = self.run(files, trained.x, [np.zeros((256, 5))], way=way)
        assert "differ from the model's by" in report.problem and report.samples == 3

    def test_another_shape_fails(self, files, trained):
        with pytest.raises(check.ExportError, match=r"shapes \[\(256, 5\)\], the model's \[\(256, 4\)\]"):
            self.run(files, trained.x, [np.zeros((256, 4))])

    def test_a_file_that_is_none_says_so(self, tmp_path):
        path = tmp_path / "m.onnx"
        path.write_bytes(b"not a file")
        with pytest.raises(RuntimeFailure, match=r"m.onnx was refused by its runtime"):
            check.outputs(lambda: WAY.run(path, {"image": np.zeros((1, 2))}), WAY, [np.zeros((1, 2))], None, "samples")


def floats(values, name="w"):
    return StoredTensor(name, np.float32(values))


def test_zeros_are_no_float_kernel_but_where_a_batch_norm_multiplies_by_0():
    kernel = SparseTensor("d/kernel", np.float32([[1, 2], [0, 3]]), None, layout.DENSE)
    zeros, own = floats([[0, 0], [0, 0]], "zeros"), floats([[1, 0], [2, 3]], "own")
    assert not check.weights(StoredModel((zeros,), ()), [kernel], "tflite")
    for silenced in (False, True):
        assert check.weights(StoredModel((zeros, own), ()), [kernel], "tflite", silenced)["d/kernel"].name == "own"
    assert check.weights(StoredModel((zeros,), ()), [kernel], "tflite", silenced=True)["d/kernel"].name == "zeros"


def test_what_float16_cannot_hold_may_be_zeros_there():
    tiny = SparseTensor("d/kernel", np.float32([[1e-9], [0]]), None, layout.DENSE)
    stored_as = StoredTensor("w", np.float16([[0, 0]]))
    assert check.weights(StoredModel((stored_as,), ()), [tiny], "tflite")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_held_against_outputs_that_are_no_numbers(value):
    with pytest.raises(check.ExportError, match="model's own outputs on samples are not finite"):
        check.outputs(lambda: [np.float32([[value]])], WAY, [np.float32([[value]])], None, "samples")
