"""Whole graphs: what is left computes the same, bit for bit, and shrinking again finds nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.exporting import tflite_layers, tflite_liveness, tflite_model, tflite_ranges, tflite_shrink
from keras_sparse.exporting.tflite_encode import weight
from keras_sparse.exporting.tflite_encodings import BLOCK_KERNELS, DENSIFIED
from keras_sparse.exporting.tflite_model import Graph
from keras_sparse.runtime import open_session

SCALES = [0.02, 0.05, 0.0625, 0.03125, 0.011]
KINDS = ["conv", "conv", "depthwise", "depthwise", "dense", "pool", "add", "mul", "pad", "mean", "concat", "relu"]


class Drawn:
    """A graph of random operations, with dead channels at random places."""

    def __init__(self, data, made):
        self.draw, self.made = data.draw, made
        size = self.draw(st.tuples(st.integers(3, 7), st.integers(3, 7), st.sampled_from([1, 3, 8, 13, 16, 21])))
        self.numbers = np.random.default_rng(self.draw(st.integers(0, 2**16)))
        self.graph = made(1, *size, scale=self.draw(st.sampled_from(SCALES)), zero=self.zero())
        self.at, self.outputs = self.graph.input, []
        for kind in ["conv", *self.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=5)), "dense"]:
            if len(self.graph.shape(self.at)) == 4 or kind == "dense":
                getattr(self, kind)()
                self.outputs.append(self.at)

    def zero(self):
        return self.draw(st.sampled_from([-128, -128, -3, 0, 127]))

    def grid(self):
        return {"scale": self.draw(st.sampled_from(SCALES)), "zero": self.zero()}

    def layer(self, kind, shape, **options):
        axis = 3 if kind == "DEPTHWISE_CONV_2D" else 0
        channels = shape[axis]
        weights = self.numbers.integers(-127, 128, shape)
        bias = self.numbers.integers(-2000, 2000, channels)
        dead = self.numbers.random(channels)
        np.moveaxis(weights, axis, 0)[dead < 0.35] = 0
        bias[(dead > 0.2) & (dead < 0.5)] = self.draw(st.sampled_from([-(10**7), 0, 10**7]))
        scale = self.draw(st.sampled_from([0.004, 0.0078125]))
        per_channel = np.full(channels, scale) if axis or self.draw(st.booleans()) else scale
        activation = self.draw(st.sampled_from(["NONE", "RELU", "RELU6"]))
        bias = None if kind == "FULLY_CONNECTED" and dead[0] > 0.8 else bias
        return self.graph.layer(
            kind, self.at, weights, bias, per_channel, activation=activation, **self.grid(), **options
        )

    def store_sparse(self):
        """Stores weights at random in sparse rows behind DENSIFY, or in blocks, where LiteRT takes them."""
        graph = self.graph.graph
        for operator in list(graph.operators):
            if graph.name(operator) in tflite_layers.KINDS and self.draw(st.booleans()):
                each = weight(graph, int(operator.inputs[1]))
                form = DENSIFIED if graph.name(operator) == "CONV_2D" else BLOCK_KERNELS["int8"]
                if form.refusal(each) is None:
                    form.write(graph, each)

    def conv(self):
        size, count = self.graph.shape(self.at), self.draw(st.sampled_from([1, 5, 8, 16, 19]))
        kernel = self.draw(st.sampled_from([1, 3]))
        self.at = self.layer("CONV_2D", (count, kernel, kernel, size[3]), **self.window(size, kernel))

    def depthwise(self):
        size = self.graph.shape(self.at)
        kernel = self.draw(st.sampled_from([1, 3]))
        shape = (1, kernel, kernel, size[3] * self.draw(st.sampled_from([1, 1, 2])))
        self.at = self.layer("DEPTHWISE_CONV_2D", shape, **self.window(size, kernel))

    def window(self, size, kernel):
        valid = min(size[1:3]) >= kernel and self.draw(st.booleans())
        return {"strides": self.draw(st.sampled_from([1, 2])), "padding": "VALID" if valid else "SAME"}

    def dense(self):
        inputs = int(np.prod(self.graph.shape(self.at)))
        if len(self.graph.shape(self.at)) == 4 and self.draw(st.booleans()):
            shape = self.graph.constant(np.array([1, inputs], np.int32))
            options = self.graph.schema.ReshapeOptionsT(newShape=[1, inputs])
            self.at = self.graph.add("RESHAPE", [self.at, shape], [1, inputs], **self.same(), options=options)
        self.at = self.layer("FULLY_CONNECTED", (self.draw(st.sampled_from([1, 4, 9])), inputs))

    def same(self):
        quantization = self.graph.graph.tensors[self.at].quantization
        return {"scale": quantization.scale, "zero": quantization.zeroPoint}

    def pool(self):
        size = self.graph.shape(self.at)
        name = self.draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
        options = self.graph.schema.Pool2DOptionsT(strideW=2, strideH=2, filterWidth=2, filterHeight=2)
        made = [1, -(-size[1] // 2), -(-size[2] // 2), size[3]]
        self.at = self.graph.add(name, [self.at], made, **self.same(), options=options, version=2)

    def relu(self):
        self.at = self.graph.add("RELU", [self.at], self.graph.shape(self.at), **self.grid(), version=2)

    def add(self):
        size = self.graph.shape(self.at)
        other = self.layer("CONV_2D", (size[3], 1, 1, size[3]))
        name = self.draw(st.sampled_from(["ADD", "SUB"]))
        self.at = self.graph.both(name, self.at, other, activation=self.draw(st.sampled_from(["NONE", "RELU"])))

    def mul(self):
        values = self.numbers.integers(-128, 128, self.graph.shape(self.at)[3]).astype(np.int8)
        self.at = self.graph.both("MUL", self.at, self.graph.constant(values, 0.01, 3), **self.grid())

    def pad(self):
        size = self.graph.shape(self.at)
        pads = self.graph.constant(np.array([[0, 0], [1, 0], [0, 2], [0, 0]], np.int32))
        self.at = self.graph.add("PAD", [self.at, pads], [1, size[1] + 1, size[2] + 2, size[3]], **self.same())

    def mean(self):
        size, keep = self.graph.shape(self.at), self.draw(st.booleans())
        options = self.graph.schema.ReducerOptionsT(keepDims=keep)
        axes = self.graph.constant(np.array([1, 2], np.int32))
        made = [1, 1, 1, size[3]] if keep else [1, size[3]]
        self.at = self.graph.add("MEAN", [self.at, axes], made, **self.grid(), options=options, version=2)

    def concat(self):
        size, before = self.graph.shape(self.at), self.at
        grid = {key: value[0] for key, value in self.same().items()}
        other = self.graph.layer(
            "CONV_2D", before, self.numbers.integers(-9, 9, (3, 1, 1, size[3])), [0, -(10**7), 5], [0.01] * 3, **grid
        )
        options = self.graph.schema.ConcatenationOptionsT(axis=3)
        made = [*size[:3], size[3] + 3]
        self.at = self.graph.add("CONCATENATION", [before, other], made, **grid, options=options, version=2)


def inputs(path, count=24):
    shape = open_session(path).inputs[0].shape[1:]
    numbers = np.random.default_rng(0)
    values = numbers.integers(-128, 128, (count, *shape))
    values[0], values[1] = -128, 127
    values[2:6] = numbers.choice([-128, 127], values[2:6].shape)
    return [values.astype(np.int8)]


def outputs(path, arrays):
    return [each for delegates in (True, False) for each in open_session(path, delegates=delegates).run(arrays)]


@given(st.data())
def test_what_is_left_of_a_graph_computes_the_same(int8_graph, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("shrunk")
    drawn = Drawn(data, int8_graph)
    drawn.store_sparse()
    before = drawn.graph.save(folder / "before.tflite", drawn.at)
    arrays = inputs(before)
    shrunk = tflite_shrink.shrink(before.read_bytes())
    after = folder / "after.tflite"
    after.write_bytes(shrunk.data)
    for old, new in zip(outputs(before, arrays), outputs(after, arrays), strict=True):
        assert np.array_equal(old, new)
    again = tflite_shrink.shrink(shrunk.data)
    assert again.data == shrunk.data
    assert not any(each.removed or each.zeros for each in again.layers)
    assert again.macs_before == shrunk.macs_after <= shrunk.macs_before


@given(st.data())
def test_no_channel_leaves_its_range(int8_graph, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("ranges")
    drawn = Drawn(data, int8_graph)
    path = drawn.graph.save(folder / "all.tflite", *drawn.outputs)
    graph = Graph(tflite_model.load(path.read_bytes()))
    known = tflite_ranges.find(graph, tflite_layers.find(graph)[0])
    made = outputs(path, inputs(path))
    for tensor, values in zip([*drawn.outputs, *drawn.outputs], made, strict=True):
        lowest, highest = known[tensor]
        rows = values.reshape(-1, values.shape[-1])
        assert (rows.min(0) >= lowest).all() and (rows.max(0) <= highest).all()


def same_after(path, folder):
    """Whether the shrunk file computes the same; and the `Shrunk`."""
    shrunk = tflite_shrink.shrink(path.read_bytes())
    after = folder / "after.tflite"
    after.write_bytes(shrunk.data)
    arrays = inputs(path, 100)
    pairs = zip(outputs(path, arrays), outputs(after, arrays), strict=True)
    return all(np.array_equal(old, new) for old, new in pairs), shrunk


def test_a_border_keeps_its_sums(int8_graph, tmp_path):
    graph = int8_graph(1, 5, 5, 2)
    first = graph.layer("CONV_2D", graph.input, np.full((2, 1, 1, 2), 50), [0, 10**7], 0.01)
    second = graph.layer("CONV_2D", first, np.full((2, 3, 3, 2), 9), [0, 0], 0.01, scale=0.5)
    same, shrunk = same_after(graph.save(tmp_path / "border.tflite", second), tmp_path)
    assert same and shrunk.layers[0].removed == 0


@pytest.mark.parametrize("mean", [False, True])
def test_channels_that_kernels_take_in_blocks_stay_in_them(int8_graph, tmp_path, mean):
    """Four of 20 are dead. In a whole block of 16 or in the rest, a kernel rounds the same sum to other levels."""
    numbers = np.random.default_rng(0)
    graph = int8_graph(1, 3, 3, 3)
    bias = np.where(np.isin(np.arange(20), [1, 5, 6, 17]), -(10**7), 0)
    at = graph.layer("CONV_2D", graph.input, numbers.integers(-99, 99, (20, 1, 1, 3)), bias, 0.004, scale=0.004)
    if mean:
        axes = graph.constant(np.array([1, 2], np.int32))
        options = graph.schema.ReducerOptionsT(keepDims=True)
        at = graph.add("MEAN", [at, axes], [1, 1, 1, 20], 0.0011, -128, options, 2)
    else:
        at = graph.layer("DEPTHWISE_CONV_2D", at, numbers.integers(-99, 99, (1, 3, 3, 20)), [0] * 20, [0.02] * 20)
    dead = numbers.integers(20, 99, (64, 1, 1, 20))
    last = graph.layer("CONV_2D", at, dead, [0] * 64, 0.02, scale=0.5, activation="NONE")
    same, shrunk = same_after(graph.save(tmp_path / "blocks.tflite", last), tmp_path)
    assert same and shrunk.layers[0].removed == 1
    found = {each.split("stay: ")[1] for each in shrunk.layers[0].stay.split("; ")}
    assert found == {tflite_liveness.BLOCKS}
