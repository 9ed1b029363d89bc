"""Where the constants of an `.onnx` file lie in its bytes."""

import onnx

from keras_sparse.exporting.onnx_checked import DAMAGE, parsed
from keras_sparse.exporting.spans import Span
from keras_sparse.exporting.stored import said

DTYPES = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16", "int8": "int8", "uint8": "uint8"}


def spans(data):
    """A `Span` for every initializer that the file holds as raw bytes, in the file's order.

    Raises ValueError for what is not an `.onnx` file, and for one whose weights are in other files.
    """
    model = parsed(data)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(f"an .onnx file must hold its weights itself. Received: {tensor.name!r} in another file")
    try:
        return _found(data, model.graph.initializer)
    except DAMAGE as error:
        raise ValueError(f"a damaged .onnx file: {said(error)}") from error


def _found(data, initializers):
    found, end = [], 0
    for tensor in initializers:
        # protobuf writes initializers in their order, as they are; the same bytes elsewhere would do as well
        start = data.find(tensor.raw_data, end) if tensor.raw_data else -1
        if start < 0:
            continue
        end = start + len(tensor.raw_data)
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        found.append(Span(start, end - start, DTYPES.get(name, "other"), tuple(tensor.dims), tensor.name))
    return found
