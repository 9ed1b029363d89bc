"""Emits `.tflite`: constants on the int8 grid and FakeQuant on activations, through TensorFlow's converter."""

import contextlib
import io
import logging
import tempfile
import warnings

import keras
import tensorflow as tf

from keras_sparse.exporting import names
from keras_sparse.exporting.quiet import native_notices_held


def emit(model, quantized):
    """The bytes of a `.tflite` file.

    Args:
        model: a stripped Keras model. Its inputs take one item at a time (batch 1): a free batch would put shape
            arithmetic around every reshape.
        quantized: whether it has fixed ranges; its operations then become int8, with float inputs and outputs.
    """
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
        converter.optimizations = [tf.lite.Optimize.DEFAULT] if quantized else []
        return converter.convert()


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
