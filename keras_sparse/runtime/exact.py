"""ONNX Runtime with exact sums on every processor: what processors with VNNI and ARM64 compute."""

import onnx

from keras_sparse.runtime.onnxruntime import Session as Native


class Session(Native):
    """A `.onnx` file, loaded with the option that asks processors without VNNI for exact sums.

    With it ONNX Runtime 1.31 refuses files in which several layers share int8 weights: here each reads copies.
    """

    def __init__(self, path, threads=1):
        super().__init__(path, threads, exact=True, content=apart(path))


def apart(path):
    """The bytes of the file with constants and a DequantizeLinear of its own for each layer that reads some."""
    model = onnx.load(str(path))
    constants, makers = {each.name: each for each in model.graph.initializer}, {}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            makers[node.output[0]] = node
    nodes, taken = [], set()
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            maker = makers.get(name)
            if maker is None:
                continue
            if {name, *maker.input} & taken:
                node.input[place], maker = _copied(model.graph, constants, maker, len(nodes))
                nodes.append(maker)
            taken |= {name, *maker.input}
        nodes.append(node)
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return model.SerializeToString()


def _copied(graph, constants, maker, number):
    """The output of a DequantizeLinear like `maker`, of copies of its constants, and itself."""
    made = onnx.NodeProto()
    made.CopyFrom(maker)
    for place, name in enumerate(maker.input):
        if name not in constants:  # left out, or computed
            continue
        copy = graph.initializer.add()
        copy.CopyFrom(constants[name])
        copy.name = made.input[place] = f"{name}/{number}"
    made.name = made.output[0] = f"{maker.output[0]}/{number}"
    return made.output[0], made
