"""Emits `.tflite`: constants on a grid and FakeQuant on activations, through TensorFlow's converter, then encoded."""

import contextlib
import io
import logging
import re
import warnings

import keras
import tensorflow as tf

from keras_sparse.exporting import check, names, tflite_file, tflite_model, tflite_weights
from keras_sparse.exporting.quiet import native_notices_held
from keras_sparse.exporting.scheme import Emitted
from keras_sparse.exporting.tflite_encode import Encoder
from keras_sparse.exporting.tflite_model import Graph
from keras_sparse.sparse_tensor import SparseTensor
from keras_sparse.targets.network import FLOAT16, FLOAT32, INT8, INT8_WEIGHTS

SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
"""The names that TensorFlow can take."""

UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")

SAID = 300
"""Characters of the converter's errors that are passed on; it adds pages of its own code."""

OPTIMIZATIONS = {
    FLOAT32: ([], []),
    FLOAT16: ([tf.lite.Optimize.DEFAULT], [tf.float16]),
    INT8: ([tf.lite.Optimize.DEFAULT], []),
    INT8_WEIGHTS: ([], []),
}
"""scheme -> what the converter is asked for: its optimizations, and the types that it may store constants in."""


def emit(what, target, encoding):
    """A `.tflite` file, `Emitted`.

    Args:
        what: an `Exportable`. The file takes one item at a time (batch 1): a free batch would put shape arithmetic
            around every reshape. Inputs and outputs are float.
        target: the `Target` it is for.
        encoding: what `export` takes.
    """
    with what.applied():
        data = _convert(what.model, OPTIMIZATIONS[what.scheme])
    order = target.suffix.removeprefix(".")
    plain = [SparseTensor(t.name, t.dense(), None, t.layout) for t in what.tensors]
    looked_for = plain if what.scheme == INT8_WEIGHTS else what.tensors
    found = check.weights(tflite_file.parse(data, "the converter's file"), looked_for, order, what.silenced, False)
    graph, encoder = Graph(tflite_model.load(data)), Encoder(target, encoding)
    sparse_kernels = frozenset() if what.scheme == INT8 else encoder.sparse_kernels(graph, what.scheme)
    tensors, indices = list(what.tensors), {name: each.index for name, each in found.items()}
    if what.scheme == INT8_WEIGHTS:
        for place, (tensor, unquantized) in enumerate(zip(what.tensors, plain, strict=True)):
            if tensor.name not in found:
                tensors[place] = unquantized  # in a form of the converter's own, it stays float
            elif tensor.scale is not None and graph.dtype(indices[tensor.name]) != "int8":
                axis = tensor.layout.channel_axis_in(getattr(tensor.layout, order))
                hybrid = tensor.name not in what.unread and not sparse_kernels & graph.readers(indices[tensor.name])
                indices[tensor.name] = tflite_weights.store_int8(graph, indices[tensor.name], axis, hybrid)
    _name_inputs(graph.model, what.model)
    for name, index in indices.items():
        graph.tensors[index].name = name.encode()  # the converter's names say nothing to who reads the file
    reasons = encoder.encode(graph, dict.fromkeys(indices.values()), sparse_kernels)
    named = {name: reasons[index] for name, index in indices.items()}
    return Emitted(tflite_model.dump(graph.model), tuple(tensors), named)


def _convert(model, options):
    """The bytes that TensorFlow's converter makes of the model."""
    signature = [
        tf.TensorSpec((1, *each.shape[1:]), each.dtype, name=name)
        for each, name in zip(model.inputs, _scopes(model), strict=True)
    ]
    free = {tensor.name: tensor.shape for tensor in model.inputs if None in tensor.shape[1:]}
    if free:
        raise ValueError(f"A .tflite file needs inputs of fixed size, apart from the batch. Received: {free}")
    serve = tf.function(lambda *inputs: _serve(model, inputs), signature, autograph=False)
    with _quiet(), native_notices_held():
        traced = serve.get_concrete_function()  # an error of the model's own is raised as it is
        try:
            holder = tf.Module()  # holds the variables that the function reads, and not Keras's own records
            holder.read = traced.variables
            converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
            converter.optimizations, converter.target_spec.supported_types = options
            return converter.convert()
        except Exception as error:  # the converter has no public class of errors, and lets those of its parts through
            raise check.ExportError(f"TensorFlow's converter cannot convert {model.name!r}: {_said(error)}") from error


def _said(error):
    """The operations that have no form in the file, or the beginning of what the converter says."""
    unknown = dict.fromkeys(UNKNOWN.findall(str(error)))
    if not unknown:
        return " ".join(str(error).split())[:SAID]
    return f"it has operations with no .tflite form: {', '.join(unknown)}. Compute this part with other operations."


def _scopes(model):
    """Names of the inputs while they are converted: their own, unless TensorFlow cannot take one of them."""
    own = names.inputs(model)
    return own if all(map(SCOPE.fullmatch, own)) else [f"input_{index}" for index in range(len(own))]


def _name_inputs(file, model):
    """Gives the inputs in the file's signature the names that they have in Keras."""
    if not file.signatureDefs:
        raise check.ExportError(f"TensorFlow cannot save {model.name!r}: it holds more than variables, such as tables.")
    own = dict(zip(_scopes(model), names.inputs(model), strict=True))
    for entry in file.signatureDefs[0].inputs:
        entry.name = own[entry.name.decode()]


def _serve(model, inputs):
    outputs = model(keras.tree.pack_sequence_as(model.input, list(inputs)), training=False)
    return dict(zip(names.outputs(model), keras.tree.flatten(outputs), strict=True))


@contextlib.contextmanager
def _quiet():
    """The converter reports its steps on every channel there is; none of it is for the user."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
