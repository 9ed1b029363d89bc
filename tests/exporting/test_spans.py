"""Both formats give their constants as spans: the bytes at these places are the values."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import onnx_spans, tflite_spans
from keras_sparse.exporting.spans import Span


def test_a_span_is_a_value() -> None:
    span = Span(8, 4, "int8", (2, 2), "d/kernel")
    assert span == Span(8, 4, "int8", (2, 2), "d/kernel") and hash(span) == hash(dataclasses.replace(span))
    with pytest.raises(dataclasses.FrozenInstanceError):
        span.start = 9


@pytest.mark.parametrize(("suffix", "reader"), [(".tflite", tflite_spans), (".onnx", onnx_spans)])
def test_the_bytes_of_a_span_are_the_constant(suffix, reader, tmp_path) -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(5)])
    kernel = np.arange(15, dtype=np.float32).reshape(3, 5) + 0.5
    model.layers[0].kernel.assign(kernel)
    data = ks.export(model, tmp_path / f"m{suffix}").path.read_bytes()
    (span,) = (each for each in reader.spans(data) if each.bytes == kernel.nbytes)
    assert span.dtype == "float32"
    values = np.frombuffer(data[span.start : span.start + span.bytes], span.dtype).reshape(span.shape)
    assert values.tolist() == (kernel if span.shape == (3, 5) else kernel.T).tolist()
