"""`from_tfmot`: a model of Keras 2, TFMOT's wrappers taken off, as a Keras 3 model."""

import os

import keras

from keras_sparse.migration import keras2, quantized, source
from keras_sparse.migration.conversion import Conversion


def from_tfmot(model, samples=None):
    """A Keras 3 model with the weights, zeros and ranges of a Keras 2 model that TFMOT pruned or quantized.

    Any Sequential or functional tf_keras model is taken, also without TFMOT: plain, wrapped by `prune_low_magnitude` or
    stripped, quantized by `quantize_model` or `quantize_apply` (of the whole model or of annotated layers), with or
    without `Default8BitPrunePreserveQuantizeScheme`. Float weights are the same, bit for bit; where a mask of TFMOT
    holds weights at zero they are zero. Layers have their names from before TFMOT wrapped them, without "/".
    Compile the result before training: losses, metrics and the optimizer's state are not taken along. Each layer that
    TFMOT does not quantize is run once beside its Keras 3 counterpart, on random inputs, and must say the same; a
    warning names one that does not take these inputs. Stateful layers and those of strings are not run.

    A quantized model comes back prepared, as by `ks.prepare`, with quantization on: `ks.export` writes an int8 file of
    it, `ks.Sparsify` trains it on. Its predictions differ from TFMOT's by int8 rounding, because the scheme does:

    - Weights: TFMOT rounds Dense and depthwise kernels with one scale for all channels, and with the peak of the last
      training batch; here each output channel has the scale `max|w| / 127` of its weights as they are, and no weight
      but 0 is rounded to 0.
    - Where a ReLU layer follows a layer without BatchNorm, TFMOT leaves the weights float until conversion; here they
      are int8.
    - Activations: levels are the same where both have a range. Within what the runtime fuses only the range at the end
      is used; average pooling keeps the range of its input, as the runtime does; the inputs and the output of a
      concatenation share the union of their ranges. Tanh, sigmoid and softmax have the range that the runtime fixes.
    - A range that TFMOT has not trained is taken as it is: [-6, 6].
    - In further training ranges move by an average with momentum 0.99 instead of 0.999, fixed ones too: give
      `ks.Quantize` a `freeze`.

    Args:
        model: a built Sequential or functional model of tf_keras, or the path of an `.h5` file, SavedModel folder or
            `.keras` file of Keras 2, which tf_keras loads (a quantized one not from `.keras`: TFMOT fails there). A
            model inside a model stays one, unless it is quantized: then its layers become layers of the result.
            Nothing of a file runs, so it may come from strangers. Its configuration is judged before tf_keras sees it:
            `Lambda` and other Python code, operations, and classes and functions other than those of tf_keras, of
            TFMOT, and that you registered with tf_keras yourself are refused, wherever they are inside it. Of a
            SavedModel only the configuration (keras_metadata.pb, from Keras 2.5 on) and the values of the variables
            are read, none of its functions.
        samples: inputs to measure ranges on that int8 layers need and TFMOT has not learned, as for `ks.calibrate`.
            Models of which only some layers were annotated may need them.

    Returns:
        A Keras 3 model.

    Raises:
        ValueError: a file holds code, or names a class that is not known; a layer has no counterpart in Keras 3,
            computes something else there (`hard_sigmoid`), or is quantized in a way that this package does not know, or
            a range is missing; the layer is named.
        ImportError: tf_keras, or TFMOT, is needed to load a file and is not installed.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", for both schemes.

    >>> import keras_sparse as ks
    >>> import tf_keras
    >>> old = tf_keras.Sequential([tf_keras.Input((8,)), tf_keras.layers.Dense(4, name="d")])
    >>> new = ks.from_tfmot(old)
    >>> new.layers[0].name, bool((new.get_weights()[0] == old.get_weights()[0]).all())
    ('d', True)
    """
    if isinstance(model, str | os.PathLike):
        model = keras2.load(model)
    if not source.is_keras2(model):
        received = "a Keras 3 model, which needs no migration" if isinstance(model, keras.Model) else repr(model)
        raise TypeError(f"A tf_keras model, or the path of one, was required. Received: {received}")
    conversion = Conversion()
    plain = conversion.model(model)
    if not conversion.quantizes:
        return plain
    return quantized.prepared(plain, conversion, samples)
