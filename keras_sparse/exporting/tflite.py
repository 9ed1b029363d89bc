"""Emits `.tflite`: constants on a grid and FakeQuant on activations, through TensorFlow's converter, then encoded."""

import contextlib
import io
import logging
import tempfile
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
        around
            every reshape. Inputs and outputs are float.
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
    reasons = encoder.encode(graph, dict.fromkeys(indices.values()), sparse_kernels)
    named = {name: reasons[index] for name, index in indices.items()}
    return Emitted(tflite_model.dump(graph.model), tuple(tensors), named)


def _convert(model, options):
    """The bytes that TensorFlow's converter makes of the model."""
    signature = [tf.TensorSpec((1, *each.shape[1:]), each.dtype, name=each.name) for each in model.inputs]
    free = {tensor.name: tensor.shape for tensor in model.inputs if None in tensor.shape[1:]}
    if free:
        raise ValueError(f"A .tflite file needs inputs of fixed size, apart from the batch. Received: {free}")
    with tempfile.TemporaryDirectory() as folder, _quiet(), native_notices_held():
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", lambda *inputs: _serve(model, inputs), signature)
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        converter.optimizations, converter.target_spec.supported_types = options
        try:
            return converter.convert()
        except Exception as error:
            if type(error).__name__ != "ConverterError":  # the converter's own class, which has no public name
                raise
            said = " ".join(str(error).split())[:SAID]
            raise check.ExportError(f"TensorFlow's converter cannot convert {model.name!r}: {said}") from error


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
