"""What has no ONNX form, or no kernel in ONNX Runtime: errors that name the operation and say what to do."""

import re
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto

from keras_sparse.exporting.check import ExportError
from keras_sparse.runtime import isolated

REMEDY = "Compute this part with other operations, in float32, int32 or bool; or export to .tflite."

USUAL = (
    TensorProto.UNDEFINED,
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
)
"""Types that ONNX Runtime has kernels for wherever Keras's layers use them."""

NO_KERNEL = re.compile(r"Could not find an implementation for (\w+)\(\d+\) node with name '([^']*)'")


def known(proto, opset):
    """Raises ExportError for the first operation that ONNX does not have in that version: tf2onnx leaves such ones."""
    for graph in _graphs(proto.graph):
        for node in graph.node:
            version = () if node.domain else (opset,)  # other domains count their own
            if not onnx.defs.has(node.op_type, *version, node.domain):
                raise ExportError(
                    f"The model has an operation with no ONNX form: {node.op_type}, named {node.name!r}. {REMEDY}"
                )


def checked(proto):
    """A valid model with the shapes of its tensors. Raises ExportError where the model has none in ONNX."""
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        said = " ".join(str(error).split())
        raise ExportError(f"The model has no valid ONNX form: {said}. {REMEDY}") from error
    return inferred


def implemented(proto):
    """`proto`, a model with the types of its tensors. Raises ExportError where ONNX Runtime has no kernel for some.

    A model of usual types is not tried: it is loaded anyway when it is verified.
    """
    types = {name: each for graph in _graphs(proto.graph) for name, each in _types(graph)}
    if not {*types.values()}.issubset(USUAL):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(proto.SerializeToString())
            try:
                isolated.optimized(path, Path(folder, "optimized.onnx"))
            except isolated.RuntimeFailure as error:
                raise ExportError(f"ONNX Runtime does not load the model: {_said(error, proto, types)}") from error
    return proto


def _said(error, proto, types):
    found = NO_KERNEL.search(str(error))
    if found is None:
        return str(error)
    kind, name = found.groups()
    nodes = [node for graph in _graphs(proto.graph) for node in graph.node]
    given = next((node.input for node in nodes if (node.op_type, node.name) == (kind, name)), ())
    words = ", ".join(TensorProto.DataType.Name(types.get(each, 0)).lower() for each in given)
    return f"it has no {kind} of ({words or 'these types'}), named {name!r}. {REMEDY}"


def _graphs(graph):
    """A graph, and those inside its loops and branches."""
    yield graph
    for node in graph.node:
        for each in node.attribute:
            if each.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(each.g)


def _types(graph):
    for each in (*graph.input, *graph.output, *graph.value_info):
        yield each.name, each.type.tensor_type.elem_type
    for each in graph.initializer:
        yield each.name, each.data_type
