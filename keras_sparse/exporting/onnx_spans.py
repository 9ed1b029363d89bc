"""Where the constants of an `.onnx` file lie in its bytes."""

import onnx
from google.protobuf.message import DecodeError

from keras_sparse.exporting.spans import Span

DTYPES = {"float": "float32", "float16": "float16", "bfloat16": "bfloat16", "int8": "int8", "uint8": "uint8"}


def spans(data):
    """A `Span` for every initializer that the file holds as raw bytes, in the file's order.

    Raises ValueError for what is not an `.onnx` file, and for one whose weights are in other files.
    """
    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ValueError(f"not an .onnx file, or a damaged one. Received: {error}") from error
    if not model.graph.node:
        raise ValueError("not an .onnx file. Received: a graph without nodes")
    found, end = [], 0
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(f"an .onnx file must hold its weights itself. Received: {tensor.name!r} in another file")
        # protobuf writes initializers in their order, as they are; the same bytes elsewhere would do as well
        start = data.find(tensor.raw_data, end) if tensor.raw_data else -1
        if start < 0:
            continue
        end = start + len(tensor.raw_data)
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        found.append(Span(start, end - start, DTYPES.get(name, "other"), tuple(tensor.dims), tensor.name))
    return found
