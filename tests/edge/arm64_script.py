"""Runs on emulated AArch64, without the package: files with XNNPACK alone and with the native delegate before it."""

import json
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType, load_delegate


def interpreter(name, options=None, xnnpack=True):
    delegates = None if options is None else [load_delegate(library, options)]
    resolver = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    path = f"models/{name}.tflite"
    made = Interpreter(path, None, delegates, num_threads=1, experimental_op_resolver_type=resolver)
    made.allocate_tensors()
    return made


def partitions(made):
    return sum(op["op_name"] == "DELEGATE" for op in made._get_ops_details())


def outputs(made):
    """Of the file's own shape, of one with two images (or vectors), then of the first again."""
    (port,) = made.get_input_details()
    random, found = np.random.default_rng(1), []
    for shape in (port["shape"], [2, *port["shape"][1:]], port["shape"]):
        made.resize_tensor_input(port["index"], shape)
        made.allocate_tensors()
        made.set_tensor(port["index"], random.integers(-128, 128, shape).astype(np.int8))
        made.invoke()
        found += [made.get_tensor(each["index"]).astype(np.int16) for each in made.get_output_details()]
    return found


if __name__ == "__main__":
    asked = json.loads(Path("asked.json").read_text())
    library, said = str(Path(asked["library"]).resolve()), {}
    for name in asked["names"]:
        dense = interpreter(name)
        assert partitions(dense), f"XNNPACK takes nothing of {name}"
        wanted = outputs(dense)
        wrong = []
        for way in asked["ways"]:
            found = outputs(interpreter(name, way))
            wrong.append(sum(int(np.count_nonzero(a != b)) for a, b in zip(wanted, found, strict=True)))
        claimed = partitions(interpreter(name, asked["ways"][0], xnnpack=False))
        spread = max(len(np.unique(each)) for each in wanted)
        said[name] = {"claimed": claimed, "spread": spread, "wrong": wrong}
    print("COMPARED", json.dumps(said))
