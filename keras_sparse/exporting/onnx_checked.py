"""An `.onnx` file as a `ModelProto`, once it is known that readers come to an end with it.

Weights may lie in other files, which are named by the file itself: they are read from its own folder only, and no more
bytes than there are. Operations that read what they make would send walks along the graph round for ever.
"""

import graphlib
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from keras_sparse.exporting.stored import said

DAMAGE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, MemoryError)
"""What onnx and NumPy raise for a graph whose names, types or sizes do not go together."""

NUMBERS = tuple(
    getattr(TensorProto, name)
    for name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16",
                 "UINT32", "UINT64", "BOOL")
)  # fmt: skip
"""Types of constants that readers look at. Of texts, and of numbers of less than a byte, nothing is asked."""


def parsed(data):
    """The `ModelProto` in the bytes of a file, with weights in other files left there.

    Raises:
        ValueError: "not an .onnx file, or is damaged" or "a damaged .onnx file", and why: there is no graph, no version
            of operations, or an operation makes nothing, makes what another one makes, or reads what follows from it.
    """
    try:
        model = onnx.load_model_from_string(data)
        nodes = model.graph.node
        if not nodes:
            raise ValueError("its graph is empty")
    except (DecodeError, *DAMAGE) as error:
        raise ValueError(f"not an .onnx file, or is damaged: {error}") from error
    try:
        if not model.opset_import:
            raise ValueError("it names no version of the operations that it uses")
        made = {}
        for place, node in enumerate(nodes):
            if not node.output:
                raise ValueError(f"operation {place}, {node.op_type}, makes nothing")
            for name in filter(None, node.output):
                if made.setdefault(name, place) != place:
                    raise ValueError(f"operations {made[name]} and {place} both make {name!r}")
        before = {place: {made[name] for name in node.input if name in made} for place, node in enumerate(nodes)}
        try:
            graphlib.TopologicalSorter(before).prepare()
        except graphlib.CycleError as error:
            node = nodes[error.args[1][0]]
            raise ValueError(f"{node.op_type}, which makes {node.output[0]!r}, reads what follows from it") from error
    except DAMAGE as error:
        raise ValueError(f"a damaged .onnx file: {said(error)}") from error
    return model


def load(path):
    """The `ModelProto` of a file, with the weights that it keeps in other files.

    Raises:
        ValueError: as `parsed`, with the path; or weights are in a file that is not there, not in the folder of the
            `.onnx` file, or shorter than the weights.
    """
    path = Path(path)
    try:
        model = parsed(path.read_bytes())
        sizes, taken = {}, 0
        for tensor in model.graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                place, start, length = _place(tensor, path.parent)
                sizes[place] = place.stat().st_size
                taken += length
                if taken > sum(sizes.values()):
                    raise ValueError(f"a damaged .onnx file: the weights in {place.name} lie in each other")
                with open(place, "rb") as file:
                    file.seek(start)
                    tensor.raw_data = file.read(length)
                tensor.ClearField("external_data")
                tensor.data_location = TensorProto.DEFAULT
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error
    return model


def _place(tensor, folder):
    """`(file, first byte, number of bytes)` of weights in another file."""
    where, given = {each.key: each.value for each in tensor.external_data}, f"{tensor.name!r} is in another file"
    location = where.get("location", "")
    try:
        place = (folder / location).resolve()
        inside = bool(location) and place.is_relative_to(folder.resolve())
        there = inside and place.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, names that no system takes
        raise ValueError(f"not whole: {given}, {location!r}: {error}") from error
    if not inside:
        raise ValueError(f"not read: {given}, which must be in the same folder. Received: {location!r}")
    if not there:
        raise ValueError(f"not whole: {given}, and there is no file {folder / location}")
    numbers = where.get("offset", "0"), where.get("length", "0")
    if not all(each.isascii() and each.isdigit() and len(each) < 20 for each in numbers):
        raise ValueError(f"a damaged .onnx file: {given}, from byte {numbers[0]!r} on, {numbers[1]!r} bytes long")
    size, (start, length) = place.stat().st_size, map(int, numbers)
    length = length if "length" in where else size - start
    if length < 0 or start + length > size:
        raise ValueError(f"not whole: {given}, {location}, which ends at byte {size} and not {start + max(0, length)}")
    return place, start, length


def constants(graph):
    """`{name: array}` of the initializers of a `GraphProto`, those of NUMBERS.

    Raises:
        ValueError: the values of one are not as many as its shape asks for.
    """
    found = {}
    for each in graph.initializer:
        if each.data_type in NUMBERS:
            try:
                if min(each.dims, default=0) < 0:
                    raise ValueError("a size is negative")
                found[each.name] = onnx.numpy_helper.to_array(each)
            except DAMAGE as error:
                raise ValueError(f"the constant {each.name!r} of shape {list(each.dims)}: {said(error)}") from error
    return found
