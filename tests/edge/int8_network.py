"""Small int8 `.tflite` networks, written operation by operation: any shape, padding, quantization and zeros."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_sparse.exporting.tflite_model import Graph, dump

ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
    "relu_n1_to_1": schema.ActivationFunctionType.RELU_N1_TO_1,
}


class Network:
    """A graph to which operations are added; each takes and gives indices of tensors."""

    def __init__(self, shape, seed=0, zero_point=3, scale=0.05):
        self.random = np.random.default_rng(seed)
        graph = schema.SubGraphT(inputs=[], outputs=[], name=b"main", tensors=[], operators=[])
        model = schema.ModelT(version=3, operatorCodes=[], buffers=[schema.BufferT()], subgraphs=[graph])
        self.graph = Graph(model)
        self.input = self.tensor(shape, scale, zero_point)
        graph.inputs = [self.input]

    def tensor(self, shape, scale, zero_point):
        return self.graph.add_tensor(f"t{len(self.graph.tensors)}", shape, "int8", _quantized([scale], [zero_point]))

    def shape(self, tensor):
        return tuple(self.graph.tensors[tensor].shape)

    def scale(self, tensor):
        return self.graph.tensors[tensor].quantization.scale[0]

    def weights(self, shape, zeros, block, axis, per_channel):
        """Random weights [outputs][...][inputs] with that fraction of zero blocks (outputs x inputs)."""
        values = self.random.integers(-127, 128, shape).astype(np.int8)
        rows, columns = block
        grid = (-(-shape[0] // rows), *shape[1:-1], -(-shape[-1] // columns))
        kept = self.random.random(grid) >= zeros
        kept = kept.repeat(rows, 0)[: shape[0]].repeat(columns, -1)[..., : shape[-1]]
        count = shape[axis] if per_channel else 1
        scales = self.random.uniform(0.002, 0.01, count).astype(np.float32)
        quantization = _quantized(scales, [0] * count, axis)
        return self.graph.add_constant(f"w{len(self.graph.tensors)}", values * kept, quantization), scales, kept.mean()

    def _layer(self, name, x, weights, scales, out_shape, products, options, zero_point, bias):
        spread = 5400 * np.sqrt(max(products, 1)) * float(np.mean(scales)) * self.scale(x)
        outputs = len(scales) if len(scales) > 1 else out_shape[-1]
        values = self.random.integers(-20000, 20000, outputs).astype(np.int32)
        quantization = _quantized(np.float32(self.scale(x)) * scales, [0] * len(scales))
        inputs = [x, weights]
        if bias:
            inputs.append(self.graph.add_constant(f"b{len(self.graph.tensors)}", values, quantization))
        out = self.tensor(out_shape, spread / 40, zero_point)
        self.graph.add_operator(name, inputs, [out], options)
        return out

    def conv(
        self, x, outputs, kernel=(1, 1), stride=(1, 1), same=True, zeros=0.8, block=(1, 4), per_channel=True,
        activation="none", zero_point=-5, bias=True,
    ):  # fmt: skip
        batch, *size, channels = self.shape(x)
        weights, scales, kept = self.weights((outputs, *kernel, channels), zeros, block, 0, per_channel)
        options = schema.Conv2DOptionsT()
        _window(options, stride, same, activation)
        out = (batch, *_sizes(size, kernel, stride, same), outputs)
        products = kept * channels * kernel[0] * kernel[1]
        return self._layer("CONV_2D", x, weights, scales, out, products, options, zero_point, bias)

    def depthwise(
        self, x, kernel=(3, 3), stride=(1, 1), same=True, per_channel=True, activation="none", zero_point=4, bias=True
    ):
        batch, *size, channels = self.shape(x)
        weights, scales, _ = self.weights((1, *kernel, channels), 0.0, (1, 1), 3, per_channel)
        options = schema.DepthwiseConv2DOptionsT()
        options.depthMultiplier = 1
        _window(options, stride, same, activation)
        out = (batch, *_sizes(size, kernel, stride, same), channels)
        products = kernel[0] * kernel[1]
        return self._layer("DEPTHWISE_CONV_2D", x, weights, scales, out, products, options, zero_point, bias)

    def dense(
        self, x, outputs, zeros=0.8, block=(16, 4), per_channel=True, activation="none", zero_point=-7, bias=True
    ):
        *batch, inputs = self.shape(x)
        weights, scales, kept = self.weights((outputs, inputs), zeros, block, 0, per_channel)
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[activation]
        options.keepNumDims = len(batch) > 1
        out = (*batch, outputs)
        return self._layer("FULLY_CONNECTED", x, weights, scales, out, kept * inputs, options, zero_point, bias)

    def add(self, x, y, activation="none", zero_point=-9, ratio=1.5):
        options = schema.AddOptionsT()
        options.fusedActivationFunction = ACTIVATIONS[activation]
        out = self.tensor(self.shape(x), ratio * max(self.scale(x), self.scale(y)), zero_point)
        self.graph.add_operator("ADD", [x, y], [out], options)
        return out

    def pad(self, x, top, bottom, left, right):
        batch, height, width, channels = self.shape(x)
        sizes = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        quantization = self.graph.tensors[x].quantization
        shape = (batch, height + top + bottom, width + left + right, channels)
        out = self.tensor(shape, quantization.scale[0], quantization.zeroPoint[0])
        paddings = self.graph.add_constant(f"p{out}", sizes)
        self.graph.add_operator("PAD", [x, paddings], [out], schema.PadOptionsT())
        return out

    def bytes(self, *outputs):
        self.graph.graph.outputs = [*outputs]
        return dump(self.graph.model)


def _quantized(scales, zero_points, axis=0):
    return schema.QuantizationParametersT(
        scale=[float(np.float32(s)) for s in scales],
        zeroPoint=[int(z) for z in zero_points],
        quantizedDimension=axis,
    )


def _window(options, stride, same, activation):
    options.strideH, options.strideW = stride
    options.dilationHFactor = options.dilationWFactor = 1
    options.padding = schema.Padding.SAME if same else schema.Padding.VALID
    options.fusedActivationFunction = ACTIVATIONS[activation]


def _sizes(sizes, kernel, stride, same):
    return [-(-n // s) if same else (n - k) // s + 1 for n, k, s in zip(sizes, kernel, stride, strict=True)]
