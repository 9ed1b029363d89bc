"""The order of an ONNX graph and the names in it, by its structure alone.

tf2onnx numbers names by how many it has made before, in the process, and takes nodes in an order that is different in
each process; of constants that are equal it keeps any. The same model shall be the same file.
"""

import itertools
import re
from collections import defaultdict

from keras_sparse.exporting.onnx_graph import taken_inside

NUMBERED = re.compile(r"__\d+")
"""In names that tf2onnx has made; what TensorFlow named has none."""


def settle(graph):
    """Orders the nodes as the outputs need them, and names anew what has a number, and what several nodes read.

    Numbered nodes lose their number, or are named by the first node that reads them if there are several readers, since
    tf2onnx made one of equal ones; so are constants. What a graph inside a node (of a loop or a branch) takes keeps its
    name, and so does all in that graph.
    """
    order = _order(graph)
    readers = defaultdict(list)
    for node in order:
        for place, name in enumerate(node.input):
            readers[name].append((node, place))
    kept = {each.name for each in (*graph.input, *graph.output)} | set(taken_inside(order))
    taken, new = {name for node in order for name in (node.name, *node.output)} | kept, {}

    def free(name):
        found = next(n for n in itertools.chain([name], (f"{name}_{n}" for n in itertools.count(2))) if n not in taken)
        taken.add(found)
        return found

    for node in reversed(order):  # so readers have their names already
        if not NUMBERED.search(" ".join([node.name, *node.output])):
            continue
        users = [use for name in node.output for use in readers.get(name, ())]
        node.name = free(_by_reader(users) if len(users) > 1 else NUMBERED.sub("", node.name))
        for place, name in enumerate(node.output):
            if name and name not in kept:
                new[name] = f"{node.name}:{place}"
    first = {name: number for number, name in enumerate(readers)}  # in the order in which they are read
    constants = sorted(graph.initializer, key=lambda each: first.get(each.name, len(first)))
    for each in constants:
        users = readers.get(each.name)
        if users and each.name not in kept and (len(users) > 1 or NUMBERED.search(each.name)):
            new[each.name] = free(_by_reader(users))
        each.name = new.get(each.name, each.name)
    for node in order:
        for names in (node.input, node.output):
            names[:] = [new.get(name, name) for name in names]
    for each in graph.value_info:
        each.name = new.get(each.name, each.name)
    values = sorted(graph.value_info, key=lambda each: each.name)
    sizes = {}  # those that are not known before it runs
    for value in (*graph.input, *graph.output, *values):
        for size in value.type.tensor_type.shape.dim:
            if NUMBERED.search(size.dim_param):
                size.dim_param = sizes.setdefault(size.dim_param, f"size_{len(sizes) + 1}")
    graph.ClearField("doc_string")  # a numbered name of TensorFlow's
    for field, content in (("node", order), ("initializer", constants), ("value_info", values)):
        graph.ClearField(field)
        getattr(graph, field).extend(content)


def _by_reader(users):
    node, place = users[0]
    return f"{node.name}/input_{place}"


def _order(graph):
    """Each node after what it reads, depth first from the outputs: what is needed first comes first."""
    nodes = list(graph.node)
    makers = {name: number for number, node in enumerate(nodes) for name in node.output if name}
    todo = [makers[each.name] for each in reversed(graph.output) if each.name in makers]
    order = {}
    while todo:
        node = nodes[todo[-1]]
        read = [makers[name] for name in (*node.input, *taken_inside([node])) if name in makers]
        if before := [number for number in read if number not in order]:
            todo.extend(reversed(before))
        else:
            order[todo.pop()] = node
    return list(order.values())
