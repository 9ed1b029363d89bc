"""Where constants of .tflite files lie: the bytes there are the values that the reader of the format gives."""

from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.exporting import tflite_file
from keras_sparse.exporting.tflite_spans import spans


def test_spans_hold_the_values(shared):
    for path in sorted((shared / "models" / "mlperf-tiny").glob("*.tflite")):
        data = path.read_bytes()
        found = {span.name: span for span in spans(data)}
        stored = {tensor.name: tensor for tensor in tflite_file.read(path).tensors}
        assert len(found) > 5
        for name, span in found.items():
            values = np.frombuffer(data[span.start : span.start + span.bytes], span.dtype).reshape(span.shape)
            np.testing.assert_array_equal(values, stored[name].values)


def test_what_is_no_tflite_file_is_refused(shared):
    data = (shared / "models" / "mlperf-tiny" / "ad01_int8.tflite").read_bytes()
    with pytest.raises(ValueError, match=r"not a \.tflite file"):
        spans(b"PK" + data)
    with pytest.raises(ValueError, match=r"a damaged \.tflite file"):
        spans(data[:60])
