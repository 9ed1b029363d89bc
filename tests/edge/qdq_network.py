"""Builds int8 networks as ONNX graphs of float operations between QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Network:
    """Random layers one after another; each method returns the name of a quantized tensor."""

    def __init__(self, shape, seed=0, dtype=np.uint8, batch=None):
        """`shape`: of the input, NCHW or rows; `batch`: what its first dimension is called, or that number."""
        self.random = np.random.default_rng(seed)
        self.dtype, self.nodes, self.constants, self.count = dtype, [], [], 0
        self.shapes, self.numbers = {}, {}
        self.batch = shape[0] if batch is None else batch
        self.info = helper.make_tensor_value_info("x", TensorProto.FLOAT, (self.batch, *shape[1:]))
        self.input = self.quantize("x", 0.05, self.zero_point(), shape)

    def zero_point(self):
        return int(self.random.integers(100, 140)) - (128 if self.dtype == np.int8 else 0)

    def name(self, kind):
        self.count += 1
        return f"{kind}_{self.count}"

    def node(self, kind, inputs, **attributes):
        out = self.name(kind)
        self.nodes.append(helper.make_node(kind, inputs, [out], name=out, **attributes))
        return out

    def constant(self, value):
        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def quantize(self, x, scale, zero_point, shape):
        scale = np.float32(scale)
        numbers = [self.constant(scale), self.constant(self.dtype(zero_point))]
        out = self.node("QuantizeLinear", [x, *numbers])
        self.shapes[out], self.numbers[out] = tuple(shape), (scale, numbers)
        return out

    def dequantize(self, q):
        return self.node("DequantizeLinear", [q, *self.numbers[q][1]])

    def weights(self, values, scale, axis=0):
        zeros = np.zeros(np.shape(scale), values.dtype)
        constants = [self.constant(each) for each in (values, scale, zeros)]
        attributes = {"axis": axis} if np.ndim(scale) else {}
        return self.node("DequantizeLinear", constants, **attributes)

    def blocks(self, outputs, inputs, taps, zeros, block):
        """Weights [outputs, inputs, taps], a fraction of whose blocks is zero."""
        rows, columns = block
        kept = self.random.random((-(-outputs // rows), -(-inputs // columns), taps)) >= zeros
        kept = kept.repeat(rows, 0)[:outputs].repeat(columns, 1)[:, :inputs]
        return (self.random.integers(-127, 128, (outputs, inputs, taps)) * kept).astype(np.int8)

    def scales(self, outputs, per_channel):
        return self.random.uniform(0.002, 0.01, outputs if per_channel else ()).astype(np.float32)

    def bias(self, x, scale, outputs):
        values = self.random.integers(-2000, 2000, outputs).astype(np.int32)
        step = (self.numbers[x][0] * np.broadcast_to(scale, outputs)).astype(np.float32)
        return self.weights(values, step)

    def step(self, x, products):
        """A scale for sums of so many products with random weights, of which each is below one."""
        return self.numbers[x][0] * max(0.02, 0.5 * products**0.5)

    def finish(self, raw, activation, step, shape, zero_point=None):
        """An activation, and the quantization of the output; `step`: the scale that makes use of the range."""
        if zero_point is None:
            zero_point = np.iinfo(self.dtype).min if activation else self.zero_point()
        if activation == "relu":
            raw = self.node("Relu", [raw])
        scale = step * self.random.uniform(0.9, 1.3)
        if activation == "relu6":
            raw = self.node("Clip", [raw, self.constant(np.float32(0)), self.constant(np.float32(6))])
            scale = min(scale, 6 / 255)
        return self.quantize(raw, scale, zero_point, shape)

    def conv(self, x, outputs, kernel=(1, 1), stride=(1, 1), pads=(0, 0, 0, 0), zeros=0.8, activation=None,
             bias=True, per_channel=True, zero_point=None, depthwise=False, **attributes):  # fmt: skip
        images, inputs, height, width = self.shapes[x]
        if depthwise:
            outputs, attributes["group"] = inputs, inputs
        products = 1 if depthwise else inputs
        weights = self.blocks(outputs, products, kernel[0] * kernel[1], zeros, (1, 4))
        scale = self.scales(outputs, per_channel)
        inside = [self.dequantize(x), self.weights(weights.reshape(outputs, products, *kernel), scale)]
        inside += [self.bias(x, scale, outputs)] if bias else []
        raw = self.node("Conv", inside, kernel_shape=kernel, strides=stride, pads=pads, **attributes)
        dilations = attributes.get("dilations", (1, 1))
        out = [
            (n + before + after - (k - 1) * d - 1) // s + 1
            for n, before, after, k, d, s in zip(
                (height, width), pads[:2], pads[2:], kernel, dilations, stride, strict=True
            )
        ]
        step = self.step(x, products * kernel[0] * kernel[1] * (1 - zeros))
        return self.finish(raw, activation, step, (images, outputs, *out), zero_point)

    def depthwise(self, x, kernel=(3, 3), stride=(1, 1), pads=(1, 1, 1, 1), **options):
        return self.conv(x, 0, kernel, stride, pads, zeros=0, depthwise=True, **options)

    def dense(self, x, outputs, zeros=0.8, block=(16, 4), activation=None, bias=True, per_channel=True,
              zero_point=None, transposed=False):  # fmt: skip
        *rows, inputs = self.shapes[x]
        weights = self.blocks(outputs, inputs, 1, zeros, block)[:, :, 0]
        scale = self.scales(outputs, per_channel)
        inside = [self.dequantize(x), self.weights(weights if transposed else weights.T.copy(), scale, 1 - transposed)]
        if bias or transposed:
            inside += [self.bias(x, scale, outputs)] if bias else []
            raw = self.node("Gemm", inside, transB=int(transposed))
        else:
            raw = self.node("MatMul", inside)
        return self.finish(raw, activation, self.step(x, inputs * (1 - zeros)), (*rows, outputs), zero_point)

    def add(self, a, b, activation=None):
        raw = self.node("Add", [self.dequantize(a), self.dequantize(b)])
        return self.finish(raw, activation, 1.2 * max(self.numbers[each][0] for each in (a, b)), self.shapes[a])

    def model(self, *outputs):
        """The file's bytes; float outputs are those of the quantized tensors."""
        infos = []
        for q in outputs:
            shape = (self.batch, *self.shapes[q][1:])
            infos.append(helper.make_tensor_value_info(self.dequantize(q), TensorProto.FLOAT, shape))
        graph = helper.make_graph(self.nodes, "network", [self.info], infos, self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made, full_check=True)
        return made.SerializeToString()
