"""An ONNX graph that is being rewritten: nodes and constants, and what uses what."""

import numpy as np
from onnx import helper, numpy_helper


class Graph:
    """The nodes and constants of a `GraphProto`, to be changed; `finish` writes them back.

    Attributes:
        nodes: the nodes, in an order in which they can run.
        constants: {name: array} of the initializers.
        outputs: names of the tensors that are used outside these nodes: the graph's outputs, and what the graphs inside
            its nodes (of loops and branches) take from it.
    """

    def __init__(self, proto):
        self.proto = proto
        self.constants = {each.name: numpy_helper.to_array(each) for each in proto.initializer}
        self.nodes = list(proto.node)
        self.outputs = {each.name for each in proto.output} | set(taken_inside(self.nodes))

    def producer(self, name):
        """The node that makes this tensor, or `None`."""
        return next((node for node in self.nodes if name in node.output), None)

    def users(self, name):
        """The nodes that take this tensor."""
        return [node for node in self.nodes if name in node.input]

    def only_user(self, node, *op_types):
        """The node of one of these types that alone uses the first output of `node`, or `None`."""
        users = self.users(node.output[0])
        alone = len(users) == 1 and users[0].op_type in op_types and node.output[0] not in self.outputs
        return users[0] if alone else None

    def constant(self, name, values):
        """A new initializer, of that name or the next free one after it; returns its name."""
        number, unique = 1, name
        while unique in self.constants:
            number += 1
            unique = f"{name}_{number}"
        self.constants[unique] = values
        return unique

    def other(self, node):
        """The constant among the inputs of `node`, or `None`."""
        return next((self.constants[name] for name in node.input if name in self.constants), None)

    def drop(self, node, into):
        """Removes `node`, whose output `into` now makes."""
        into.output[0] = node.output[0]
        self.nodes.remove(node)

    def skip(self, node):
        """Removes `node`: those that used its output use its first input. Its output is none of the graph's."""
        for user in self.users(node.output[0]):
            for place, name in enumerate(user.input):
                if name == node.output[0]:
                    user.input[place] = node.input[0]
        self.nodes.remove(node)

    def replace(self, node, op_type, inputs):
        """Makes `node` an operation of that type on those inputs, its attributes and output kept."""
        node.op_type, inputs = op_type, list(inputs)
        node.ClearField("input")
        node.input.extend(inputs)

    def before(self, node, *nodes):
        """Puts nodes before `node`."""
        at = self.nodes.index(node)
        self.nodes[at:at] = nodes

    def after(self, node, *nodes):
        """Puts nodes after `node`."""
        at = self.nodes.index(node) + 1
        self.nodes[at:at] = nodes

    def finish(self):
        """Writes back the nodes whose outputs are used, and the constants that they use."""
        used = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if used & set(node.output):
                kept.append(node)
                used.update(node.input)
        for field in ("node", "initializer", "value_info"):
            self.proto.ClearField(field)
        self.proto.node.extend(reversed(kept))
        self.proto.initializer.extend(
            numpy_helper.from_array(np.asarray(values, order="C"), name)
            for name, values in self.constants.items()
            if name in used
        )


def taken_inside(nodes):
    """Names that nodes of the graphs inside `nodes` use; some of them are those graphs' own."""
    for node in nodes:
        for each in node.attribute:
            if each.HasField("g"):
                yield from (name for inner in each.g.node for name in inner.input)
                yield from (value.name for value in each.g.output)
                yield from taken_inside(each.g.node)


def attribute(node, name, default=None):
    """The value of an attribute of `node`, or `default` where it has none."""
    found = next((each for each in node.attribute if each.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def set_attribute(node, name, value):
    """Gives `node` an attribute, in the place of one of that name."""
    kept = [each for each in node.attribute if each.name != name]
    node.ClearField("attribute")
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def per_channel(factor, channels, after):
    """`factor` as a vector of one value per channel, where `after` axes follow that of the channels, else `None`."""
    if factor.size == 1:
        return np.full(channels, factor.ravel()[0], np.float32)
    axis = factor.ndim - 1 - after
    fits = axis >= 0 and factor.size == channels == factor.shape[axis]
    return factor.ravel() if fits else None
