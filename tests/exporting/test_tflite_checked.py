"""What a `.tflite` file must keep to before it is read: tables as large as the file, an order, sizes that are there."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

import keras_sparse as ks
from keras_sparse.exporting import (
    tflite_checked,
    tflite_file,
    tflite_model,
    tflite_network,
    tflite_shrink,
    tflite_spans,
)
from keras_sparse.exporting.tflite_model import Graph
from keras_sparse.targets.network import DENSE

ROOT = Path(__file__).resolve().parents[2]


def graph(*kinds):
    """A graph of float operations one after the other, on four values; a FULLY_CONNECTED at the end."""
    main = schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[], name=b"main")
    buffers = [schema.BufferT()]
    made = Graph(schema.ModelT(version=3, operatorCodes=[], subgraphs=[main], buffers=buffers, description=b""))
    tensor = made.add_tensor("x", (1, 4), "float32")
    main.inputs = [tensor]
    for kind in kinds:
        following = made.add_tensor(f"t{len(made.tensors)}", (1, 4), "float32")
        made.add_operator(kind, [tensor], [following])
        tensor = following
    weights = made.add_constant("w", np.ones((4, 4), np.float32))
    scores = made.add_tensor("scores", (1, 4), "float32")
    made.add_operator("FULLY_CONNECTED", [tensor, weights], [scores], schema.FullyConnectedOptionsT())
    main.outputs = [scores]
    return made


def written(folder, made):
    path = folder / "m.tflite"
    path.write_bytes(tflite_model.dump(made.model))
    return path


def refused(path, cause):
    for read in (tflite_file.read, tflite_network.read, ks.sparsity, lambda p: ks.explain(p, "litert")):
        with pytest.raises(ValueError, match=rf"m\.tflite is a damaged \.tflite file: .*{cause}"):
            read(path)
    with pytest.raises(ValueError, match=f"a damaged .tflite file: .*{cause}"):
        tflite_shrink.shrink(path.read_bytes())


class TestOrder:
    @pytest.mark.parametrize("kind", ["DEQUANTIZE", "DENSIFY", "RELU"])
    def test_an_operation_that_reads_what_it_makes(self, tmp_path, kind):
        made = graph(kind)
        made.operators[0].inputs = made.operators[0].outputs
        refused(written(tmp_path, made), "operation 0 reads tensor 1, which operation 0 makes later")

    def test_a_circle(self, tmp_path):
        made = graph("DEQUANTIZE", "DEQUANTIZE", "DEQUANTIZE")
        made.operators[0].inputs = made.operators[2].outputs
        refused(written(tmp_path, made), "reads tensor 3, which operation 2 makes later")

    def test_a_variable_may_be_read_before_it_is_made(self, tmp_path):
        made = graph("RELU")
        made.operators[0].inputs = made.operators[0].outputs
        made.tensors[1].isVariable = True
        assert len(tflite_file.read(written(tmp_path, made)).operations) == 2

    def test_a_tensor_that_is_made_twice(self, tmp_path):
        made = graph("RELU", "RELU")
        made.operators[1].outputs = made.operators[0].outputs
        refused(written(tmp_path, made), "operations 0 and 1 both make tensor 1")

    def test_a_chain_of_any_length_is_gone_through_once(self, tmp_path):
        """The names of what unpacks a constant are no longer than what LiteRT would unpack."""
        path = written(tmp_path, graph(*["DEQUANTIZE"] * 3000))
        network = tflite_network.read(path)
        assert [layer.kind for layer in network.layers] == [DENSE]
        assert len(tflite_file.read(path).operations) == len(network.operations) == 3001


class TestIndices:
    @pytest.mark.parametrize(
        ("change", "cause"),
        [
            (lambda g: setattr(g.operators[0], "inputs", [99]), "operation 0 reads tensor 99, which is none of 4"),
            (lambda g: setattr(g.operators[0], "inputs", [-2]), "operation 0 reads tensor -2"),
            (lambda g: setattr(g.operators[0], "outputs", [-1]), "operation 0 makes tensor -1"),
            (lambda g: setattr(g.operators[0], "opcodeIndex", 7), "operation 0 has the code 7 of 2"),
            (lambda g: setattr(g.graph, "outputs", [4]), "the graph's tensor 4 is none of 4"),
            (lambda g: setattr(g.tensors[0], "buffer", 9), "tensor 0 is in buffer 9"),
            (lambda g: setattr(g.model.operatorCodes[0], "builtinCode", 9999), "operation code 9999 is not known"),
            (lambda g: setattr(g.model, "subgraphs", []), "it has no graph"),
            (lambda g: setattr(g.tensors[2], "shape", [4, 5]), r"tensor 2 of float32 \[4, 5\] has 64 bytes"),
            (lambda g: setattr(g.tensors[2], "shape", [-4, -4]), r"tensor 2 of float32 \[-4, -4\] has 64 bytes"),
        ],
    )
    def test_that_are_none(self, tmp_path, change, cause):
        made = graph("RELU")
        change(made)
        refused(written(tmp_path, made), cause)

    def test_an_operation_that_makes_nothing(self, tmp_path):
        """Such as one that assigns a variable: a sound file."""
        made = graph("RELU")
        made.add_operator("ASSIGN_VARIABLE", [0, 1], [], schema.AssignVariableOptionsT())
        path = written(tmp_path, made)
        assert tflite_file.read(path).operations[-1].output == tflite_network.read(path).operations[-1].name == ""

    def test_a_type_that_is_none(self, tmp_path, int8_graph):
        made = int8_graph(1, 4)
        layer = made.layer("FULLY_CONNECTED", made.input, np.ones((4, 4), np.int8))
        for tensor in made.graph.tensors[:2]:
            tensor.type = 99
        (report,) = tflite_shrink.shrink(made.save(tmp_path / "m.tflite", layer).read_bytes()).layers
        assert report.left == "its types are of type 99 and of type 99, not int8"

    @pytest.mark.parametrize("axis", [-1, 2])
    def test_scales_along_an_axis_that_is_not_there(self, tmp_path, axis):
        made = graph()
        scales = schema.QuantizationParametersT(
            scale=np.ones(4, np.float32), zeroPoint=np.zeros(4, np.int64), quantizedDimension=axis
        )
        made.tensors[1].quantization = scales
        with pytest.raises(ValueError, match=f"m.tflite is a damaged .*4 scales along axis {axis}"):
            ks.sparsity(written(tmp_path, made))


def shared_tables(width, depth_of_each):
    """A file whose graphs are all one table, with `width` offsets to it; so are its tensors within."""
    builder = Builder(0)
    name = builder.CreateString("n" * depth_of_each)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    tensor = schema.TensorEnd(builder)

    def vector(table, start):
        start(builder, width)
        for _ in range(width):
            builder.PrependUOffsetTRelative(table)
        return builder.EndVector()

    tensors = vector(tensor, schema.SubGraphStartTensorsVector)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = vector(schema.SubGraphEnd(builder), schema.ModelStartSubgraphsVector)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("sizes", [(10**4, 1), (100, 10**5), (3000, 1000)])
@pytest.mark.parametrize("read", [tflite_checked.unpacked, tflite_spans.spans, tflite_shrink.shrink])
def test_tables_in_each_other(read, sizes):
    """Some kilobytes that would be up to 10^8 tensors."""
    with pytest.raises(ValueError, match="its tables lie in each other"):
        read(shared_tables(*sizes))


def test_texts_of_options(tmp_path):
    """Texts are copied where tables are read, and one may serve many operations."""
    made = graph()
    for _ in range(300):
        name = made.add_tensor("v", (), "int32")
        made.add_operator("VAR_HANDLE", [], [name], schema.VarHandleOptionsT(sharedName="n" * 1000))
    whole = tflite_model.dump(made.model)
    assert len(tflite_checked.unpacked(whole).subgraphs[0].operators) == 301
    with pytest.raises(ValueError, match="lie in each other"):
        tflite_checked._Size(bytes(1000)).check(schema.Model.GetRootAs(whole, 0))


def sparse_graph(columns):
    """A FULLY_CONNECTED of 4 x columns int8 weights, of which one is stored."""
    from keras_sparse.encoding.csr import CSR
    from keras_sparse.exporting import tflite_sparse

    made, (segments, indices) = graph(), np.uint8([[0, 1, 1, 1, 1], [0] * 5])
    made.tensors[1].type, made.tensors[1].shape = tflite_model.TYPES["int8"], [4, columns]
    table = CSR((4, columns), (1, 1), segments, indices[:1], np.ones((1, 1, 1), np.int8))
    made.model.buffers[made.tensors[1].buffer].data = np.ones(1, np.uint8)
    made.tensors[1].sparsity = tflite_sparse.parameters(table)
    return made


@pytest.mark.parametrize("columns", [2**25, 2**31 - 1])
def test_sparse_weights_that_are_too_large_for_the_file(tmp_path, columns):
    refused(written(tmp_path, sparse_graph(columns)), "its constants, made dense, are more than")


def test_sparse_weights_that_are_not(tmp_path):
    assert ks.sparsity(written(tmp_path, sparse_graph(2**16))).kernels[0].zeros == 2**18 - 1


def test_weights_that_many_operations_read(tmp_path):
    made = graph()
    weights = made.add_constant("w", np.zeros((1000, 1000), np.float32))
    for number in range(1100):
        made.add_operator("FULLY_CONNECTED", [0, weights], [made.add_tensor(f"y{number}", (1, 1000), "float32")])
    refused(written(tmp_path, made), "its constants, made dense, are more than")


HUGE = 2**31 - 1


class TestShrink:
    def test_channels_that_are_only_declared(self, tmp_path, int8_graph):
        made = int8_graph(1, HUGE)
        path = made.save(tmp_path / "m.tflite", made.add("RELU", [made.input], (1, HUGE), 0.05, -3))
        with pytest.raises(ValueError, match="int8 tensors have 4294967294 channels"):
            tflite_shrink.shrink(path.read_bytes())

    def test_positions_that_are_only_declared(self, tmp_path, int8_graph):
        made = int8_graph(1, HUGE, HUGE, 2)
        weights = np.ones((3, 3, 3, 2), np.int8)
        layer = made.layer("CONV_2D", made.input, weights, scale=0.5)
        (report,) = tflite_shrink.shrink(made.save(tmp_path / "m.tflite", layer).read_bytes()).layers
        assert report.left == f"its input, {HUGE} long, is too large for its kernel"


@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is limited on Linux alone")
def test_little_memory_is_enough_to_refuse(tmp_path):
    """In a process that may take 64 MB more than it has when all is imported."""
    huge = sparse_graph(HUGE)
    files = [written(tmp_path, huge).read_bytes(), shared_tables(10**4, 1)]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.tflite").write_bytes(data)
    code = """
import keras_sparse_command  # so that Keras is not loaded
import resource, sys
from keras_sparse.exporting import tflite_file, tflite_network, tflite_spans
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
for path in sys.argv[1:]:
    for read in (tflite_file.read, tflite_network.read):
        try:
            read(path)
        except ValueError as error:
            print("MemoryError" not in str(error))
"""
    command = [sys.executable, "-c", code, *(str(tmp_path / f"{number}.tflite") for number in range(len(files)))]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert ran.stdout.split() == ["True"] * 4, ran.stderr


def test_offsets_that_lead_outside():
    whole = bytearray(tflite_model.dump(graph("RELU").model))
    for place in range(8, len(whole) - 4, 4):
        damaged = bytes(whole[:place]) + struct.pack("<I", 0xFFFFFFF0) + bytes(whole[place + 4 :])
        for read in (tflite_checked.unpacked, tflite_spans.spans):
            try:
                read(damaged)
            except ValueError as error:
                assert "a damaged .tflite file" in str(error)
