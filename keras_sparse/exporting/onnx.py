"""Emits `.onnx`: tf2onnx makes the graph and the activations' Q/DQ pairs; what makes it run well is ours."""

import contextlib
import io
import logging

import keras
import onnx
import tensorflow as tf
import tf2onnx

from keras_sparse.exporting import (
    check,
    names,
    onnx_file,
    onnx_fold,
    onnx_forms,
    onnx_integer,
    onnx_layout,
    onnx_lower,
    onnx_moves,
    onnx_qdq,
    onnx_settled,
    reduced,
)
from keras_sparse.exporting.onnx_graph import taken_inside
from keras_sparse.exporting.quiet import native_notices_held
from keras_sparse.exporting.scheme import Emitted
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.targets.network import FLOAT16, INT8, INT8_WEIGHTS

DENSE = "no runtime runs or keeps sparse ONNX tensors"

SAID = 300
"""Characters of the converter's errors that are passed on."""

OPSET = 17
"""Has per-channel QuantizeLinear and DequantizeLinear (13), and is read by every ONNX Runtime since 1.12."""


def emit(what, target, encoding):
    """A `.onnx` file that takes any batch, `Emitted`.

    Args:
        what: an `Exportable`. Of an int8 one, weights become int8 initializers and biases int32, with Q/DQ pairs; of
            one with int8 weights, convolutions and matrix products become ConvInteger and MatMulInteger.
        target: the `Target` it is for.
        encoding: there is none but dense: no runtime runs or keeps the sparse tensors that the format has.
    """
    notes, tensors = [], what.tensors
    with what.applied():
        proto = build(what.model)
    if what.scheme == INT8:
        onnx_layout.cancel_transposes(proto)
        onnx_moves.move_integers(proto)
        onnx_qdq.quantize(proto.graph, what.reduce_range)
    elif what.scheme == INT8_WEIGHTS:
        unread = [t for t in tensors if t.name in what.unread and t.layout.onnx]
        floats = onnx_integer.to_integer(
            proto, [t.layout.to(t.layout.onnx, t.dense()) for t in unread], what.reduce_range
        )
        tensors = [SparseTensor(t.name, t.dense(), None, t.layout) if t in unread else t for t in tensors]
        notes = [f"{name} computes in float: {reason}" for name, reason in floats.items()]
    elif what.scheme == FLOAT16:
        from keras_sparse.exporting import onnx_float16  # imports ONNX Runtime's tools

        notes = [str(each) for each in onnx_float16.to_float16(proto)]
    if what.reduce_range and any(tensor.scale is not None for tensor in tensors):
        notes.append(reduced.NOTE)
        proto.metadata_props.add(key=reduced.KEY, value="1")
    reasons = dict.fromkeys((tensor.name for tensor in tensors), DENSE)
    proto = onnx_forms.implemented(onnx_forms.checked(proto))
    _name_kernels(proto.graph, check.weights(onnx_file.stored(proto), tensors, "onnx", what.silenced, required=False))
    return Emitted(proto.SerializeToString(), tuple(tensors), reasons, tuple(notes))


def _name_kernels(graph, found):
    """Gives kernels the names that they have in Keras; the converter's say nothing to who reads the file."""
    inside = set(taken_inside(graph.node))
    new = {stored.name: name for name, stored in found.items() if stored.name not in inside}
    for each in graph.initializer:
        each.name = new.get(each.name, each.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]


def build(model):
    """The `ModelProto` of a stripped Keras model, its weights float; a quantized one has Q/DQ pairs on activations."""
    signature = [tf.TensorSpec((None, *each.shape[1:]), each.dtype, name=each.name) for each in model.inputs]

    @tf.function(input_signature=signature)
    def serve(*inputs):
        outputs = model(keras.tree.pack_sequence_as(model.input, list(inputs)), training=False)
        return dict(zip(names.outputs(model), keras.tree.flatten(outputs), strict=True))

    with _quiet(), native_notices_held(), _traced_through():
        traced = serve.get_concrete_function()  # an error of the model's own is raised as it is
        try:
            proto, _ = tf2onnx.convert.from_function(serve, input_signature=signature, opset=OPSET)
        except Exception as error:  # tf2onnx has no errors of its own
            said = " ".join(str(error).split())[:SAID]
            raise check.ExportError(f"tf2onnx cannot convert {model.name!r}: {said} {onnx_forms.REMEDY}") from error
    _add_captured(proto.graph, traced)
    onnx_settled.settle(proto.graph)
    _name_batches(proto.graph)
    proto.producer_name = "keras_sparse"
    wanted, made = sorted(names.inputs(model)), sorted(each.name for each in proto.graph.input)
    if made != wanted:
        raise check.ExportError(f"The file should have the inputs {wanted}. It has: {made}")
    onnx_lower.lower(proto.graph)
    onnx_forms.known(proto, OPSET)
    onnx_fold.fold(proto)
    return proto


@contextlib.contextmanager
def _traced_through():
    """Functions inside a traced one become part of its graph; Keras compiles grouped convolutions as one by XLA."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


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
