from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.exporting import tflite_file


def test_constants_equal_what_the_runtime_reads(files):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(files[".tflite"].path))
    interpreter.allocate_tensors()
    details = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
    stored = tflite_file.read(files[".tflite"].path).tensors
    assert stored
    for tensor in stored:
        np.testing.assert_array_equal(tensor.values, interpreter.get_tensor(details[tensor.name]["index"]))
        if tensor.scale is not None:
            np.testing.assert_array_equal(tensor.scale, details[tensor.name]["quantization_parameters"]["scales"])


def test_what_is_no_tflite_file_is_refused(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ValueError, match=r"not a \.tflite file"):
        tflite_file.read(path)


@given(data=st.data())
def test_damage_is_a_clear_error_or_another_model(files, tmp_path_factory, data):
    content = bytearray(files[".tflite"].path.read_bytes())
    cut = data.draw(st.integers(8, len(content)))
    at = data.draw(st.integers(8, cut - 1)) if cut > 8 else None
    if at is not None:
        content[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "m.tflite"
    path.write_bytes(content[:cut])
    try:
        tflite_file.read(path)
    except ValueError as error:
        assert "m.tflite" in str(error)
