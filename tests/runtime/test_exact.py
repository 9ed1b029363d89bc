"""Exact sums: the file that is run has constants of its own for every layer, and computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from keras_sparse.runtime import exact, open_session

from ..edge.qdq_network import Network


def shared(path):
    """Two convolutions that read one DequantizeLinear of weights."""
    network = Network((1, 16, 6, 5), 0, np.uint8, "n")
    x = network.conv(network.input, 16, zeros=0, bias=False)
    model = onnx.load_from_string(network.model(network.conv(x, 16, zeros=0, bias=False)))
    first, second = (node for node in model.graph.node if node.op_type == "Conv")
    second.input[1] = first.input[1]
    path.write_bytes(model.SerializeToString())
    return path


def test_layers_that_share_weights_read_copies(tmp_path):
    path = shared(tmp_path / "shared.onnx")
    made = onnx.load_from_string(exact.apart(path))
    onnx.checker.check_model(made, full_check=True)
    makers = {node.output[0]: node for node in made.graph.node}
    read = [makers[node.input[1]] for node in made.graph.node if node.op_type == "Conv"]
    assert not {*read[0].input} & {*read[1].input} and read[0].output != read[1].output
    values = {each.name: onnx.numpy_helper.to_array(each) for each in made.graph.initializer}
    for a, b in zip(read[0].input, read[1].input, strict=True):
        np.testing.assert_array_equal(values[a], values[b])
    x = np.random.default_rng(1).uniform(-6, 6, (3, 16, 6, 5)).astype(np.float32)
    options = onnxruntime.SessionOptions()  # in float, where no processor differs
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    before, after = (
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for content in (path.read_bytes(), made.SerializeToString())
    )
    np.testing.assert_array_equal(before, after)
    assert open_session(path, engine="exact").run([x])[0].shape == before.shape


def test_what_is_not_shared_stays(tmp_path):
    network = Network((1, 8, 4, 4), 1, np.uint8, "n")
    path = tmp_path / "own.onnx"
    path.write_bytes(network.model(network.conv(network.input, 8, zeros=0)))
    before, after = onnx.load(path), onnx.load_from_string(exact.apart(path))
    assert before == after
