"""Where the constants of a `.tflite` file lie in its bytes."""

import numpy as np

from keras_sparse.exporting.spans import Span
from keras_sparse.exporting.stored import said
from keras_sparse.exporting.tflite_checked import DAMAGE, DTYPES, bounded


def spans(data):
    """A `Span` for every constant tensor, in the file's order; tensors that share a buffer are one.

    Raises ValueError for what is not a `.tflite` file.
    """
    model, found = bounded(data), {}
    try:
        for i in range(model.SubgraphsLength()):
            graph = model.Subgraphs(i)
            for j in range(graph.TensorsLength()):
                span = _span(graph.Tensors(j), model, data)
                if span is not None:
                    found.setdefault(span.start, span)
    except DAMAGE as error:
        raise ValueError(f"a damaged .tflite file: {said(error)}") from error
    return [found[start] for start in sorted(found)]


def _span(tensor, model, data):
    buffer = model.Buffers(tensor.Buffer())
    if buffer.Size():  # a large model keeps its constants behind the flatbuffer
        start, size = buffer.Offset(), buffer.Size()
        if start + size > len(data):
            raise ValueError(f"a constant ends at byte {start + size} of {len(data)}")
    else:
        values = buffer.DataAsNumpy()
        if not isinstance(values, np.ndarray) or not values.size:
            return None
        start, size = values.ctypes.data - np.frombuffer(data, np.uint8).ctypes.data, values.size
    dtype = DTYPES.get(tensor.Type(), "other")
    shape = tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
    return Span(start, size, dtype, shape, (tensor.Name() or b"").decode("utf-8", "replace"))
