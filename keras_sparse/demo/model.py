"""The demo's model: a small depthwise-separable CNN of the DS-CNN / MobileNet family."""

import keras
from keras import layers

INPUT_SHAPE = (28, 28, 1)
BLOCKS = ((80, 1), (120, 1), (160, 2), (160, 1))
"""(output channels, stride) of each depthwise-separable block.

Channels are multiples of 40: 75 % of every pruned kernel is then a whole number of 1x4 blocks, and 80 % is, too.
"""

ENTRY_CHANNELS = 40
DROPOUT = 0.2


def build(classes=10):
    """A new model: images `(None, 28, 28, 1)` scaled to [0, 1] -> logits `(None, classes)`.

    A 3x3 entry convolution with stride 2, then blocks of a depthwise 3x3 (`dw1`, ...) and a 1x1 convolution
    (`pw1`, ...), each with BatchNorm and ReLU; global average pooling, and a Dense layer (`logits`). Strided
    convolutions pad explicitly by 1 on all sides, as runtimes with sparse kernels require ("same" would pad one side
    only).

    Source: Zhang et al. 2017, "Hello Edge", for DS-CNN; Howard et al. 2017, "MobileNets".
    """
    inputs = keras.Input(INPUT_SHAPE, name="image")
    x = _convolution(inputs, "entry", layers.Conv2D(ENTRY_CHANNELS, 3, **_strided(2), use_bias=False, name="entry"))
    for number, (channels, stride) in enumerate(BLOCKS, start=1):
        name = f"dw{number}"
        x = _convolution(x, name, layers.DepthwiseConv2D(3, **_strided(stride), use_bias=False, name=name))
        name = f"pw{number}"
        x = _convolution(x, name, layers.Conv2D(channels, 1, use_bias=False, name=name))
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dropout(DROPOUT, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="ds_cnn")


def _strided(stride):
    return {"strides": stride, "padding": "same" if stride == 1 else "valid"}


def _convolution(x, name, convolution):
    """The convolution, padded explicitly where it is strided, with BatchNorm and ReLU."""
    if convolution.padding == "valid" and convolution.kernel_size != (1, 1):
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(convolution(x))
    return layers.ReLU(name=f"{name}_relu")(x)
