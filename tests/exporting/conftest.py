"""A small model as training leaves it: pruned, quantized, with every kind of layer that is int8 in files."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

SHAPE = (12, 12, 3)


def build():
    """Strided entry, depthwise, 1x1, residual Add, Concatenate, pooling, Flatten, Dropout, Dense and softmax."""
    import keras
    from keras import layers

    def bn_relu(x):
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input(SHAPE, name="image")
    x = layers.ZeroPadding2D(1)(inputs)
    x = bn_relu(layers.Conv2D(8, 3, strides=2, use_bias=False, name="entry")(x))
    y = bn_relu(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="dw")(x))
    y = layers.BatchNormalization()(layers.Conv2D(8, 1, name="pw")(y))
    x = layers.ReLU(max_value=6)(layers.Add()([x, y]))
    a = layers.Conv2D(4, 1, activation="relu", name="left")(x)
    b = layers.Conv2D(6, 3, padding="same", name="right")(x)
    x = layers.AveragePooling2D(2)(layers.Concatenate()([a, b]))
    x = layers.MaxPooling2D(3)(x)
    x = layers.Dropout(0.1)(layers.Flatten()(x))
    x = layers.Dense(20, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(5, activation="softmax", name="scores")(x), name="small")


@pytest.fixture(scope="session")
def trained():
    """`.model` (prepared, pruned and quantized), `.dense` (float), `.recipe`, `.x`."""
    import keras

    import keras_sparse as ks

    keras.utils.set_random_seed(3)
    generator = np.random.default_rng(3)
    x = generator.normal(size=(256, *SHAPE)).astype(np.float32)
    y = (x.mean((1, 2)) @ generator.normal(size=(3, 5))).argmax(1)
    dense = build()
    recipe = ks.Recipe(
        [
            ks.Prune(ks.NofM(2, 4), ks.OneShot(2), match="pw/kernel"),
            ks.Prune(ks.Unstructured(0.75), ks.Cubic(begin=0.0, end=0.5, every=2), match=["hidden/*", "right/*"]),
            ks.Quantize(begin=0.5),
        ]
    )
    model = ks.prepare(dense, recipe)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(x, y, batch_size=32, epochs=3, verbose=0, callbacks=[ks.Sparsify(recipe)])
    return SimpleNamespace(model=model, dense=dense, recipe=recipe, x=x)


@pytest.fixture(scope="session")
def parts(trained):
    """The trained model as an exporter takes it."""
    from keras_sparse.train.strip import stripped

    return stripped(trained.model)


@pytest.fixture(scope="session")
def files(trained, tmp_path_factory):
    """{suffix: Artifact} of the trained model."""
    import keras_sparse as ks

    folder = tmp_path_factory.mktemp("files")
    return {s: ks.export(trained.model, folder / f"model{s}", samples=trained.x) for s in (".tflite", ".onnx")}


class Int8Graph:
    """Writes `.tflite` files of int8 operations one by one, with weights and scales as a test wants them.

    Tensors are indices. Activations have `scale` and `zero`, weights `weight_scale`: one, or one per output channel.
    """

    def __init__(self, *shape, scale=0.05, zero=-3):
        from ai_edge_litert import schema_py_generated as schema

        from keras_sparse.exporting.tflite_model import Graph

        self.schema = schema
        main = schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[], name=b"main")
        self.model = schema.ModelT(
            version=3, operatorCodes=[], subgraphs=[main], buffers=[schema.BufferT()], description=b"", metadata=[]
        )
        self.graph = Graph(self.model)
        self.input = self.tensor(shape, scale, zero)
        main.inputs = [self.input]

    def quantization(self, scale, zero=0, axis=0):
        scales = np.atleast_1d(np.asarray(scale, np.float32))
        zeros = np.full(len(scales), zero, np.int64)
        return self.schema.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=axis)

    def tensor(self, shape, scale, zero, name=None):
        name = name or f"t{len(self.graph.tensors)}".encode()
        return self.graph.add_tensor(name, shape, "int8", self.quantization(scale, zero))

    def constant(self, values, scale=None, zero=0):
        values = np.asarray(values)
        quantization = None if scale is None else self.quantization(scale, zero)
        return self.graph.add_constant(f"c{len(self.graph.tensors)}".encode(), values, quantization)

    def shape(self, tensor):
        return [int(n) for n in self.graph.tensors[tensor].shape]

    def add(self, name, inputs, shape, scale, zero, options=None, version=1):
        made = self.tensor(shape, scale, zero)
        self.graph.add_operator(name, inputs, [made], options, version)
        return made

    def layer(self, kind, source, weights, bias=None, weight_scale=0.02, scale=0.05, zero=-128, activation="RELU",
              strides=1, padding="SAME", dilation=1):  # fmt: skip
        """CONV_2D (weights OHWI), DEPTHWISE_CONV_2D (1HWO) or FULLY_CONNECTED (OI)."""
        size, axis = self.shape(source), 3 if kind == "DEPTHWISE_CONV_2D" else 0
        kernel = self.constant(np.asarray(weights, np.int8))
        self.graph.tensors[kernel].quantization = self.quantization(weight_scale, axis=axis)
        inputs, channels = [source, kernel], weights.shape[axis]
        source_scale = self.graph.tensors[source].quantization.scale[0]
        if bias is not None:
            inputs.append(self.constant(np.asarray(bias, np.int32), np.asarray(weight_scale) * source_scale))
        code = getattr(self.schema.ActivationFunctionType, activation)
        if kind == "FULLY_CONNECTED":
            made = [int(np.prod(size)) // weights.shape[1], channels]
            options = self.schema.FullyConnectedOptionsT(fusedActivationFunction=code)
            return self.add(kind, inputs, made, scale, zero, options, 4)
        same = padding == "SAME"
        reach = [(n - 1) * dilation + 1 for n in weights.shape[1:3]]
        made = [-(-n // strides) if same else (n - r) // strides + 1 for n, r in zip(size[1:3], reach, strict=True)]
        options = getattr(self.schema, "Conv2DOptionsT" if axis == 0 else "DepthwiseConv2DOptionsT")()
        options.padding = getattr(self.schema.Padding, padding)
        options.strideH = options.strideW = strides
        options.dilationHFactor = options.dilationWFactor = dilation
        options.fusedActivationFunction = code
        if axis == 3:
            options.depthMultiplier = channels // size[-1]
        return self.add(kind, inputs, [size[0], *made, channels], scale, zero, options, 3)

    def both(self, name, one, other, scale=0.1, zero=-10, activation="NONE"):
        """ADD, SUB or MUL."""
        code = getattr(self.schema.ActivationFunctionType, activation)
        options = getattr(self.schema, f"{name.title()}OptionsT")(fusedActivationFunction=code)
        return self.add(name, [one, other], self.shape(one), scale, zero, options, 2)

    def save(self, path, *outputs):
        from keras_sparse.exporting import tflite_model

        self.graph.graph.outputs = list(outputs)
        path.write_bytes(tflite_model.dump(self.model))
        return path


@pytest.fixture(scope="session")
def int8_graph():
    return Int8Graph
