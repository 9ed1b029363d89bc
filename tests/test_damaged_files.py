"""Every reader of a file, over damaged files of every format: an answer, or the one error that is documented.

Changes are drawn from seeds: bytes at random places, a cut, and changes of the parsed file that leave it well formed,
which get behind what a parser refuses. The readers' own tests have the cases that are known by name.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile

import h5py
import keras
import numpy as np
import onnx
import pytest
from keras_sparse_edge.bundle import read_bundle
from keras_sparse_edge.packed import digest
from onnx import TensorProto, helper, numpy_helper

import keras_sparse as ks
from keras_sparse.exporting import onnx_file, onnx_spans, tflite_file, tflite_model, tflite_shrink, tflite_spans
from keras_sparse.exporting.tflite_checked import unpacked

from .edge import mutations

SEEDS = 30
"""Changed files of each format; many more were tried once."""

TFLITE_TARGETS, ONNX_TARGETS = ("litert", "litert-x86", "litert-arm64", "litert-native"), ("onnxruntime", "tensorrt")
ODD = (0, 1, -1, 2, 5, 127, 2**31 - 1, -(2**31), 2**40, 2**62)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`{name: bytes}` of sound files."""
    folder = tmp_path_factory.mktemp("whole")
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 4), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="conv")(inputs)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="dw")(x)
    x = keras.layers.Add()([x, keras.layers.Conv2D(8, 1, name="pw")(x)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(16, name="scores")(x))
    for layer in model.layers:
        if layer.weights:
            layer.kernel.assign(np.where(np.arange(layer.kernel.shape[-1]) % 4, 0, layer.kernel))
    samples = np.random.default_rng(0).normal(size=(16, 8, 8, 4)).astype("float32")
    files = {}
    for name, options in {
        "int8": {"quantize": "int8"},
        "sparse": {"quantize": "int8-weights", "encoding": "csr"},
    }.items():
        files[f"{name}.tflite"] = ks.export(model, folder / f"{name}.tflite", samples=samples, **options).path
    ks.save_weights(model, folder / "model.h5")
    scores = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    ks.bundle(ks.export(scores, folder / "scores.tflite"), folder / "model.ksb", labels=["a", "b", "c"])
    ks.pack(folder / "int8.tflite", folder / "model.ksp")
    files |= {name: folder / name for name in ("model.h5", "model.ksb", "model.ksp")}
    return {"model": model, "quantized.onnx": quantized(), **{name: path.read_bytes() for name, path in files.items()}}


def quantized():
    """A convolution and a product between Q/DQ pairs, and a product of integers."""
    rng = np.random.default_rng(0)

    def constant(name, values):
        return numpy_helper.from_array(np.asarray(values), name)

    scale, kernel = np.float32(0.1), rng.integers(-2, 2, (4, 4, 3, 3)).astype(np.int8)
    constants = [
        constant("s", scale), constant("z", np.int8(0)), constant("w", kernel), constant("ws", np.full(4, scale)),
        constant("wz", np.zeros(4, np.int8)), constant("m", rng.integers(-2, 2, (4, 4)).astype(np.int8)),
        constant("f", rng.normal(size=(4, 4)).astype(np.float32)), constant("shape", np.int64([1, 4])),
    ]  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["d", "wd"], ["c"], group=1, strides=[1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["rd"]),
        helper.make_node("Reshape", ["rd", "shape"], ["v"]),
        helper.make_node("DynamicQuantizeLinear", ["v"], ["vq", "vs", "vz"]),
        helper.make_node("MatMulInteger", ["vq", "m", "vz"], ["i"]),
        helper.make_node("Cast", ["i"], ["if"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["vs", "s"], ["is"]),
        helper.make_node("Mul", ["if", "is"], ["g"]),
        helper.make_node("Transpose", ["f"], ["ft"], perm=[1, 0]),
        helper.make_node("Gemm", ["g", "ft"], ["y"], transB=1),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def flipped(data, random, first=0):
    """Some bytes changed, or the end cut off; nothing before `first`."""
    data = bytearray(data)
    for _ in range(int(random.integers(1, 4))):
        data[int(random.integers(first, len(data)))] = int(random.choice([0, 1, 127, 128, 255, random.integers(256)]))
    return bytes(data[: int(random.integers(first, len(data)))] if random.integers(8) == 0 else data)


def one(random, values):
    return values[int(random.integers(len(values)))]


def answered(read, errors, name):
    """Whether there was an answer, and no error; the errors that are documented name the file."""
    try:
        read()
    except errors as error:
        assert name in str(error)
        return False
    return True


@pytest.mark.parametrize("kind", ["int8.tflite", "sparse.tflite"])
@pytest.mark.parametrize("way", ["bytes", "objects"])
def test_tflite(whole, tmp_path, kind, way):
    path, sound = tmp_path / "m.tflite", 0
    for seed in range(SEEDS):
        random, data = np.random.default_rng(seed), whole[kind]
        if way == "bytes":
            data = flipped(data, random, first=8)
        else:
            model = unpacked(data)
            mutations.mutate(model, random)
            try:
                data = tflite_model.dump(model)
            except (TypeError, AttributeError, OverflowError, struct.error):
                continue  # a change that no file can hold
        path.write_bytes(data)
        sound += answered(lambda: tflite_file.read(path), ValueError, "m.tflite")
        answered(lambda: ks.sparsity(path), ValueError, "m.tflite")
        answered(lambda: ks.explain(path, one(random, TFLITE_TARGETS)), ValueError, "m.tflite")  # noqa: B023
        answered(lambda: tflite_shrink.shrink(data), ValueError, "tflite")  # noqa: B023
        answered(lambda: tflite_spans.spans(data), ValueError, "tflite")  # noqa: B023
    assert 0 < sound < SEEDS


def changed_proto(model, random):
    """A `ModelProto` with one to three fields of it, or of what it holds, changed."""
    for _ in range(int(random.integers(1, 4))):
        message = one(random, [model.graph, *model.graph.node, *model.graph.initializer, *model.graph.initializer])
        fields = [(field, value) for field, value in message.ListFields() if field.name not in ("node", "initializer")]
        if message is model.graph:
            part = one(random, [model.graph.node, model.graph.initializer])
            del part[int(random.integers(len(part)))]
        elif fields:
            changed_field(message, *one(random, fields), random)


def changed_field(message, field, value, random):
    if field.name in ("input", "output"):
        names = [*value]
        other = one(random, ["", "x", "w", "wd", "f", "ft", "d", "r", "c", "y", "m", "vq"])
        names = names[:-1] if random.integers(3) == 0 else [*names[:-1], other]
        message.ClearField(field.name)
        getattr(message, field.name).extend(names)
    elif field.name == "attribute":
        attribute = one(random, value)
        attribute.i = int(one(random, ODD))
        attribute.ints.append(int(one(random, ODD)))
        attribute.type = int(random.integers(0, 9))
    elif field.name == "dims":
        message.dims[int(random.integers(len(value)))] = int(one(random, ODD))
    elif field.name == "data_type":
        message.data_type = int(random.integers(0, 30))
    elif field.name == "raw_data":
        message.raw_data = value[: int(random.integers(len(value)))] + bytes(int(random.integers(3)))
    elif field.name == "op_type":
        message.op_type = one(random, ["Relu", "Conv", "ConvTranspose", "MatMul", "Gemm", "QLinearConv", "Transpose",
                                       "DequantizeLinear", "ConvInteger", "Identity"])  # fmt: skip
    elif field.name == "name":
        message.name = one(random, ["", "s", "w", "x"])


@pytest.mark.parametrize("way", ["bytes", "objects"])
def test_onnx(whole, tmp_path, way):
    path, sound = tmp_path / "m.onnx", 0
    for seed in range(4 * SEEDS):
        random, data = np.random.default_rng(seed), whole["quantized.onnx"]
        if way == "bytes":
            data = flipped(data, random)
        else:
            model = onnx.load_model_from_string(data)
            changed_proto(model, random)
            data = model.SerializeToString()
        path.write_bytes(data)
        sound += answered(lambda: onnx_file.read(path), ValueError, "m.onnx")
        answered(lambda: ks.sparsity(path), ValueError, "m.onnx")
        answered(lambda: ks.explain(path, one(random, ONNX_TARGETS)), ValueError, "m.onnx")  # noqa: B023
        answered(lambda: onnx_spans.spans(data), ValueError, "onnx")  # noqa: B023
    assert 0 < sound < 4 * SEEDS


def changed_h5(file, random):
    """One to three attributes, datasets or links changed."""
    for _ in range(int(random.integers(1, 4))):
        owner = file[one(random, sorted(file))] if len(file) and random.integers(4) else file
        name = one(random, sorted(owner.attrs)) if len(owner.attrs) else "shape"
        values = [*map(np.int64, ODD), 10**12, np.inf, np.bytes_("float32"), "text", np.int64([2**31, 2**31]),
                  np.zeros((2, 2)), h5py.Empty("f4"), np.bytes_(b"\xff")]  # fmt: skip
        change, variable = random.integers(4), one(random, [*sorted(file), "none"])
        if change == 0:
            owner.attrs[name] = one(random, values)
        elif change == 1 and name in owner.attrs:
            del owner.attrs[name]
        elif variable in file:
            attributes = dict(file[variable].attrs) if isinstance(file[variable], h5py.Dataset) else {}
            del file[variable]
            kind = one(random, ["f4", "u1", "i8", "S9", h5py.string_dtype(), np.dtype([("a", "f4")])])
            shape = one(random, [(), (0,), (3,), (2**40,), (2**32, 2**32), (3, 3), None])
            made = file.create_dataset(variable, shape=shape, dtype=kind) if shape is not None else None
            if made is not None and change == 2:
                made.attrs.update(attributes)


@pytest.mark.parametrize("way", ["bytes", "objects"])
def test_h5(whole, tmp_path, way):
    path, refused = tmp_path / "m.h5", 0
    before = whole["model"].get_weights()
    for seed in range(SEEDS):
        random, data = np.random.default_rng(seed), whole["model.h5"]
        if way == "bytes":
            data = flipped(data, random)
        else:
            buffer = io.BytesIO(data)
            with h5py.File(buffer, "r+") as file:
                changed_h5(file, random)
            data = buffer.getvalue()
        path.write_bytes(data)
        refused += not answered(lambda: ks.load_weights(whole["model"], path), ValueError, "m.h5")
    assert refused
    for old, new in zip(before, whole["model"].get_weights(), strict=True):  # what is read is what was written
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("way", ["bytes", "objects"])
def test_ksb(whole, tmp_path, way):
    path, refused = tmp_path / "m.ksb", 0
    with zipfile.ZipFile(io.BytesIO(whole["model.ksb"])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for seed in range(SEEDS):
        random, data = np.random.default_rng(seed), whole["model.ksb"]
        if way == "bytes":
            data = flipped(data, random)
        else:
            document = json.loads(members["manifest.json"])
            key = one(random, sorted(document))
            document[key] = one(random, [None, [], {}, "", -1, 2**70, 1e300, [document[key]], {key: document[key]}])
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("manifest.json", json.dumps(document))
                archive.writestr("model.tflite", members["model.tflite"])
            data = buffer.getvalue()
        path.write_bytes(data)
        refused += not answered(lambda: read_bundle(path), ks.BundleError, "")
    assert refused


@pytest.mark.parametrize("checked", [False, True])
def test_ksp(whole, tmp_path, checked):
    """Without a right check nothing is read; with one, all of the reader is reached."""
    path, refused = tmp_path / "m.ksp", 0
    for seed in range(SEEDS):
        data = flipped(whole["model.ksp"], np.random.default_rng(seed))
        if checked:
            data = data[:9] + digest(data[:9], data[25:]) + data[25:]
        path.write_bytes(data)
        refused += not answered(lambda: ks.unpack(path, tmp_path / "m.tflite", max_size=2**20), ks.PackedError, "m.ksp")
    assert refused
