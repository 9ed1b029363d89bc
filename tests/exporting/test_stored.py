from __future__ import annotations

import numpy as np

from keras_sparse.exporting.stored import Operation, StoredModel, StoredTensor


def test_zeros_are_counted():
    assert StoredTensor("w", np.int8([[0, 1], [0, -1]])).zeros == 2


def test_float_operations_leave_out_what_is_named_and_what_is_not_float():
    kinds = [("ADD", "float32"), ("CONV", "int8"), ("QUANTIZE", "float32"), ("MUL", "float16"), ("SHAPE", "int32")]
    model = StoredModel((), tuple(Operation(name, name, dtype) for name, dtype in kinds))
    assert [o.name for o in model.float_operations(("QUANTIZE",))] == ["ADD", "MUL"]


def test_matrices_have_output_channels_as_rows_and_inputs_as_columns():
    dense = np.arange(6).reshape(2, 3)
    assert StoredTensor("w", dense).matrices().tolist() == [dense.tolist()]  # TFLite: (outputs, inputs)
    assert StoredTensor("w", dense, input_axis=0).matrices().tolist() == [dense.T.tolist()]  # ONNX: (inputs, outputs)
    conv = np.arange(2 * 3 * 4).reshape(2, 1, 3, 4)  # OHWI
    assert StoredTensor("w", conv).matrices()[1].tolist() == conv[:, 0, 1, :].tolist()
    oihw = np.moveaxis(conv, 3, 1)
    np.testing.assert_array_equal(StoredTensor("w", oihw, input_axis=1).matrices(), StoredTensor("w", conv).matrices())
    depthwise = np.arange(2 * 2 * 3).reshape(1, 2, 2, 3)
    assert StoredTensor("w", depthwise, channel_axis=3).matrices().tolist() == [depthwise.reshape(4, 3).T.tolist()]
