"""Damaged files on the command line: one line that names the file and the cause, from every command that takes one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from keras_sparse import cli
from keras_sparse.exporting import tflite_model

# What the line says after the file's name.
DAMAGED = {
    "text.tflite": "is not a .tflite file",
    "cut.tflite": "is a damaged .tflite file",
    "circle.tflite": "is a damaged .tflite file: operation 1 reads tensor 2, which operation 1 makes later",
    "text.onnx": "is not an .onnx file",
    "cut.onnx": "is not an .onnx file, or is damaged",
    "circle.onnx": "is a damaged .onnx file: Relu, which makes 'a', reads what follows from it",
    "gone.onnx": "is not whole: 'w' is in another file, and there is no file ",
    "outside.onnx": "is not read: 'w' is in another file, which must be in the same folder. Received: '../w.bin'",
    "old.onnx": "is a damaged .onnx file: it names no version",
}
READING = ("sparsity {}", "explain {} --target TARGET", "verify {} {}", "shrink {} o.tflite")


def call(*words):
    """`.code`, `.out`, `.err` of the command, in this process."""
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a sound `.tflite` file of 64 x 64 weights, and damaged files of both formats."""
    folder = tmp_path_factory.mktemp("damaged")
    main = schema.SubGraphT(tensors=[], inputs=[0], outputs=[2], operators=[], name=b"main")
    model = schema.ModelT(version=3, operatorCodes=[], subgraphs=[main], buffers=[schema.BufferT()], description=b"")
    graph = tflite_model.Graph(model)
    for name in ("x", "hidden", "y"):
        graph.add_tensor(name, (1, 64), "float32")
    weights = graph.add_constant("w", np.eye(64, dtype=np.float32))
    graph.add_operator("RELU", [0], [1])
    graph.add_operator("FULLY_CONNECTED", [1, weights], [2], schema.FullyConnectedOptionsT())
    whole = tflite_model.dump(model)
    graph.operators[1].inputs = [2, weights]
    files = {"whole.tflite": whole, "cut.tflite": whole[:500], "circle.tflite": tflite_model.dump(model)}

    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 64]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(np.eye(64, dtype=np.float32), "w")]
    opsets = [helper.make_opsetid("", 17)]
    network = helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:], constants), opset_imports=opsets)
    files["cut.onnx"] = network.SerializeToString()[:500]
    for name in ("circle", "gone", "outside", "old"):
        changed = onnx.ModelProto.FromString(network.SerializeToString())
        tensor = changed.graph.initializer[0]
        if name == "circle":
            changed.graph.node[0].input[0] = "y"
        elif name == "old":
            changed.ClearField("opset_import")
        else:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="w.bin" if name == "gone" else "../w.bin")
        files[f"{name}.onnx"] = changed.SerializeToString()
    for name, data in {"text.tflite": b"no model", "text.onnx": b"no model", **files}.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("typed", READING)
def test_every_command_names_the_file_and_the_cause(made, tmp_path, monkeypatch, name, typed):
    if typed.startswith("shrink") and name.endswith(".onnx"):
        pytest.skip("shrink takes .tflite files")
    monkeypatch.chdir(tmp_path)
    target = "litert" if name.endswith(".tflite") else "onnxruntime"
    result = call(*typed.format(made / name, made / name).replace("TARGET", target).split())
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"keras-sparse: error: {made / name} {DAMAGED[name]}") and result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["text.tflite", "cut.onnx", "gone.onnx"])
@pytest.mark.parametrize("typed", ["bench {}", "pack {} o.pack", "unpack {} o"])
def test_where_it_is_run_or_packed(made, tmp_path, monkeypatch, name, typed):
    monkeypatch.chdir(tmp_path)
    result = call(*typed.format(made / name).split())
    assert (result.code, result.out) == (1, "")
    assert f"{made / name}" in result.err and result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_unpack_takes_a_size_at_most(made, tmp_path):
    packed, again, size = tmp_path / "p", tmp_path / "again", (made / "whole.tflite").stat().st_size
    assert call("pack", made / "whole.tflite", packed).code == 0
    result = call("unpack", packed, again, "--max-size", size - 1)
    assert result.code == 1 and not again.exists()
    assert result.err == f"keras-sparse: error: {packed}: the original must have 1 to {size - 1} bytes; got {size}\n"
    assert call("unpack", packed, again, "--max-size", size).code == 0
    assert again.read_bytes() == (made / "whole.tflite").read_bytes()
