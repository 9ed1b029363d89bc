"""Emits `.onnx`: tf2onnx makes the graph and the activations' Q/DQ pairs; the weights' are ours (`onnx_qdq.py`)."""

import contextlib
import io
import logging

import keras
import onnx
import tensorflow as tf
import tf2onnx

from keras_sparse.exporting import names, onnx_qdq
from keras_sparse.exporting.check import ExportError
from keras_sparse.exporting.quiet import native_notices_held
from keras_sparse.exporting.scheme import INT8, Emitted

DENSE = "no runtime runs or keeps sparse ONNX tensors"

OPSET = 17
"""Has per-channel QuantizeLinear and DequantizeLinear (13), and is read by every ONNX Runtime since 1.12."""


def emit(what, target, encoding):
    """A `.onnx` file that takes any batch, `Emitted`.

    Args:
        what: an `Exportable`; of an int8 one, weights become int8 initializers and biases int32.
        target: the `Target` it is for.
        encoding: there is none but dense: no runtime runs or keeps the sparse tensors that the format has.
    """
    model, quantized = what.model, what.scheme == INT8
    signature = [tf.TensorSpec((None, *each.shape[1:]), each.dtype, name=each.name) for each in model.inputs]

    @tf.function(input_signature=signature)
    def serve(*inputs):
        outputs = model(keras.tree.pack_sequence_as(model.input, list(inputs)), training=False)
        return dict(zip(names.outputs(model), keras.tree.flatten(outputs), strict=True))

    with _quiet(), native_notices_held():
        proto, _ = tf2onnx.convert.from_function(serve, input_signature=signature, opset=OPSET)
    _add_captured(proto.graph, serve.get_concrete_function())
    if quantized:
        onnx_qdq.quantize(proto.graph)
    _name_batches(proto.graph)
    proto.producer_name = "keras_sparse"
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True)
        onnx.checker.check_model(inferred, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        # tf2onnx leaves operations that it does not know as they are.
        raise ExportError(f"The model has an operation with no ONNX form: {' '.join(str(error).split())}") from error
    wanted, made = sorted(names.inputs(model)), sorted(each.name for each in inferred.graph.input)
    if made != wanted:
        raise ExportError(f"The file should have the inputs {wanted}. It has: {made}")
    return Emitted(inferred.SerializeToString(), what.tensors, dict.fromkeys((t.name for t in what.tensors), DENSE))


def _add_captured(graph, function):
    """Constants that a layer holds outside its variables, which tf2onnx makes inputs of the graph, as initializers."""
    captured = {inner.name: outer for outer, inner in function.graph.captures if outer.dtype != tf.resource}
    extra = [each for each in graph.input if each.name in captured]
    for each in extra:
        graph.input.remove(each)
        graph.initializer.append(onnx.numpy_helper.from_array(captured[each.name].numpy(), each.name))


def _name_batches(graph):
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"


@contextlib.contextmanager
def _quiet():
    """tf2onnx reports its steps as warnings and on standard output."""
    loggers = [logging.getLogger("tf2onnx"), tf.get_logger()]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
