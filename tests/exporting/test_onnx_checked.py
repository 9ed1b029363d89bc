"""Damaged and foreign `.onnx` files: one error that names the file and the cause, whatever is asked of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import keras_sparse as ks
from keras_sparse.exporting import onnx_checked, onnx_file, onnx_network, onnx_spans

OPSETS = [helper.make_opsetid("", 17)]


def values(name="w", shape=(4, 4), dtype=np.float32):
    return numpy_helper.from_array(np.ones(shape, dtype), name)


def model(nodes, initializers, opsets=OPSETS):
    port = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", port[:1], port[1:], initializers)
    made = helper.make_model(graph, opset_imports=opsets)
    if not opsets:
        made.ClearField("opset_import")
    return made


def product(*more, initializers=None, **other):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), *more]
    return model(nodes, [values()] if initializers is None else initializers, **other)


def written(folder, made):
    path = folder / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def external(location, **numbers):
    """A model of one matrix of 64 bytes in another file."""
    tensor = TensorProto(name="w", dims=[4, 4], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **numbers}.items():
        tensor.external_data.add(key=key, value=str(value))
    return product(initializers=[tensor])


READERS = (onnx_file.read, onnx_network.read, ks.sparsity, lambda path: ks.explain(path, "onnxruntime"))


def refused(path, cause):
    for read in READERS:
        with pytest.raises(ValueError, match=rf"m\.onnx is .*{cause}"):
            read(path)


def long_chain(kinds, count=3000):
    names = ["x", *(f"t{i}" for i in range(count)), "y"]
    return [helper.make_node(kinds[i % len(kinds)], [names[i]], [names[i + 1]]) for i in range(count + 1)]


class TestGraph:
    @pytest.mark.parametrize(
        "nodes",
        [
            [("Relu", ["y"], ["y"])],
            [("Relu", ["a"], ["b"]), ("Relu", ["b"], ["a"]), ("MatMul", ["x", "w"], ["y"])],
            [("Clip", ["a"], ["b"]), ("Relu", ["b"], ["a"]), ("MatMul", ["b", "w"], ["y"])],
            [("Transpose", ["a"], ["a"]), ("MatMul", ["x", "a"], ["y"])],
            [("Cast", ["a"], ["b"]), ("Identity", ["b"], ["a"]), ("MatMul", ["x", "a"], ["y"])],
        ],
    )
    def test_operations_that_read_what_follows_from_them(self, tmp_path, nodes):
        refused(written(tmp_path, model([helper.make_node(*each) for each in nodes], [values()])), "reads what follows")

    @pytest.mark.parametrize("kinds", [["Relu"], ["Relu", "Clip"], ["Identity"]])
    def test_a_chain_of_any_length_is_gone_through_once(self, tmp_path, kinds):
        path = written(tmp_path, model(long_chain(kinds), [values()]))
        assert len(onnx_file.read(path).operations) == 3001
        assert onnx_network.read(path).layers == ()

    def test_relu_and_clip_belong_to_what_they_follow_in_any_order_of_the_file(self, tmp_path):
        chain = [
            helper.make_node("DequantizeLinear", ["x", "s"], ["a"]),
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("Relu", ["b"], ["c"]),
            helper.make_node("Clip", ["c"], ["d"]),
            helper.make_node("QuantizeLinear", ["d", "s"], ["y"]),
        ]
        for nodes in (chain, chain[::-1]):
            found = onnx_file.read(written(tmp_path, model(nodes, [values(), values("s", ())]))).operations
            assert {each.name for each in found if each.dtype == "int8"} == {"MatMul", "Relu", "Clip"}

    def test_made_twice_and_making_nothing(self, tmp_path):
        again = helper.make_node("Relu", ["x"], ["y"])
        refused(written(tmp_path, product(again)), "both make 'y'")
        refused(written(tmp_path, product(helper.make_node("Relu", ["x"], []))), "makes nothing")

    def test_without_a_version_of_its_operations(self, tmp_path):
        refused(written(tmp_path, product(opsets=[])), "no version")

    def test_of_operations_that_others_made_alone(self, tmp_path):
        node = helper.make_node("Own", ["x", "w"], ["y"], domain="own")
        path = written(tmp_path, model([node], [values()], [helper.make_opsetid("own", 1)]))
        assert onnx_file.read(path).opset is None
        assert ks.sparsity(path).kernels[0].name == "w"


class TestConstants:
    @pytest.mark.parametrize(
        "changes",
        [
            {"dims": [4, 5]},
            {"dims": [4, -4]},
            {"dims": [-1, 4]},
            {"dims": [2**40, 2**40]},
            {"raw_data": b"123"},
            {"data_type": TensorProto.DOUBLE},
            {"segment": {"begin": 0, "end": 1}},
        ],
    )
    def test_of_another_size_than_their_shape(self, tmp_path, changes):
        tensor = values()
        made = TensorProto(**{**{field.name: value for field, value in tensor.ListFields()}, **changes})
        refused(written(tmp_path, product(initializers=[made])), "the constant 'w'")

    @pytest.mark.parametrize("kind", ["STRING", "INT4", "FLOAT8E5M2", "COMPLEX64", "UNDEFINED"])
    def test_of_types_that_nobody_asks_for(self, tmp_path, kind):
        """Texts of one length each, as NumPy has them, are the square of the file."""
        odd = TensorProto(name="odd", dims=[2**40], data_type=getattr(TensorProto, kind), raw_data=b"1")
        path = written(tmp_path, product(initializers=[values(), odd]))
        assert [each.name for each in ks.sparsity(path).kernels] == ["w"]

    def test_a_type_that_is_none(self, tmp_path):
        odd = TensorProto(name="odd", dims=[1], data_type=9999, raw_data=b"1")
        assert onnx_network.read(written(tmp_path, product(initializers=[values(), odd]))).layers[0].name == "w"

    def test_without_values(self, tmp_path):
        path = written(tmp_path, product(initializers=[values(shape=(0, 4))]))
        assert ks.sparsity(path).kernels == onnx_network.read(path).layers == ()

    def test_scales_that_an_operation_makes(self, tmp_path):
        nodes = [
            helper.make_node("Constant", [], ["s"], value=values("s", ())),
            helper.make_node("DequantizeLinear", ["q", "s"], ["w"]),
        ]
        path = written(tmp_path, product(*nodes, initializers=[values("q", dtype=np.int8)]))
        assert [(each.name, each.dtype) for each in ks.sparsity(path).kernels] == [("q", "int8")]

    @pytest.mark.parametrize(("axis", "count"), [(7, 4), (-3, 4), (0, 3)])
    def test_scales_along_an_axis_that_is_not_there(self, tmp_path, axis, count):
        node = helper.make_node("DequantizeLinear", ["q", "s"], ["w"], axis=axis)
        path = written(tmp_path, product(node, initializers=[values("q", dtype=np.int8), values("s", (count,))]))
        with pytest.raises(ValueError, match=r"m\.onnx is a damaged .*'q' of shape \(4, 4\) has"):
            ks.sparsity(path)

    @pytest.mark.parametrize("kind", ["DequantizeLinear", "ConvInteger", "MatMulInteger"])
    def test_operations_without_inputs(self, tmp_path, kind):
        path = written(tmp_path, product(helper.make_node(kind, [], ["z"])))
        with pytest.raises(ValueError, match=r"m\.onnx is a damaged \.onnx file: IndexError"):
            ks.sparsity(path)

    @pytest.mark.parametrize("perm", [[0, 0], [5, 1], [0]])
    def test_axes_that_are_not_there(self, tmp_path, perm):
        node = helper.make_node("Transpose", ["q"], ["w"], perm=perm)
        path = written(tmp_path, product(node, initializers=[values("q")]))
        with pytest.raises(ValueError, match=r"m\.onnx is a damaged"):
            ks.explain(path, "onnxruntime")

    def test_weights_that_many_operations_read_are_looked_at_once(self, tmp_path):
        nodes = [helper.make_node("MatMul", ["x", "w"], [f"y{i}"]) for i in range(50)]
        layers = onnx_network.read(written(tmp_path, model(nodes, [values()]))).layers
        assert len(layers) == 50 and len({id(each.kept) for each in layers}) == 1


class TestOtherFiles:
    def test_whole(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(8) + np.arange(16, dtype=np.float32).tobytes())
        path = written(tmp_path, external("w.bin", offset=8, length=64))
        assert ks.sparsity(path).kernels[0].zeros == 1
        np.testing.assert_array_equal(onnx_file.read(path).tensors[0].values.ravel(), np.arange(16))

    @pytest.mark.parametrize(
        ("location", "numbers", "cause"),
        [
            ("gone.bin", {}, "there is no file"),
            ("", {}, "in the same folder"),
            (".", {}, "there is no file"),
            ("../m.bin", {}, "in the same folder"),
            ("/etc/hostname", {}, "in the same folder"),
            ("link.bin", {}, "in the same folder"),
            ("w\0.bin", {}, "null byte"),
            ("w" * 300, {}, "too long"),
            ("circle.bin", {}, "circle.bin"),
            ("w.bin", {"offset": 8}, "the constant 'w'"),
            ("w.bin", {"offset": 65}, "ends at byte 64"),
            ("w.bin", {"length": 65}, "ends at byte 64"),
            ("w.bin", {"length": 10**15}, "ends at byte 64"),
            ("w.bin", {"length": 10**30}, "bytes long"),
            ("w.bin", {"offset": -4}, "from byte"),
            ("w.bin", {"offset": "many"}, "from byte"),
        ],
    )
    def test_missing_cut_or_elsewhere(self, tmp_path, location, numbers, cause):
        folder = tmp_path / "folder"
        folder.mkdir()
        (tmp_path / "m.bin").write_bytes(bytes(64))
        (folder / "w.bin").write_bytes(bytes(64))
        (folder / "circle.bin").symlink_to(folder / "circle.bin")
        (folder / "link.bin").symlink_to(tmp_path / "m.bin")
        refused(written(folder, external(location, **numbers)), cause)

    def test_weights_in_each_other(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(64))
        made = external("w.bin")
        made.graph.initializer.extend([made.graph.initializer[0]] * 3)
        refused(written(tmp_path, made), "lie in each other")

    def test_they_are_not_packed(self, tmp_path):
        with pytest.raises(ValueError, match=r"m\.onnx: an \.onnx file must hold its weights itself"):
            ks.pack(written(tmp_path, external("w.bin")), tmp_path / "m.pack")


@pytest.mark.parametrize("data", [b"", b"\x08", b"no model", b"\x3a\xff\xff\xff\x7f"])
def test_what_is_no_onnx_file(data):
    for read in (onnx_checked.parsed, onnx_spans.spans):
        with pytest.raises(ValueError, match=r"^not an \.onnx file"):
            read(data)


def test_spans_of_negative_sizes_are_packed_as_bytes(tmp_path):
    made = product(initializers=[TensorProto(name="w", dims=[-4, 4], data_type=1, raw_data=bytes(64))])
    path = written(tmp_path, made)
    assert onnx.load_model_from_string(path.read_bytes()) == made
    ks.pack(path, tmp_path / "m.pack")
    ks.unpack(tmp_path / "m.pack", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()
