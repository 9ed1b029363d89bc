"""Nothing of a Keras 2 file runs: code in it is refused by the name of its layer, from the configuration alone.

Each piece of code would make a file, and the test looks for it; that tf_keras would run it is shown first.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import keras_sparse as ks

SUFFIXES = [".h5", ".keras", pytest.param("", id="SavedModel")]
SHAPE = (4, 3)


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    """The file that is there once the code of a model ran."""
    return tmp_path / "code_ran"


@pytest.fixture
def toucher(proof: Path) -> Callable[[Any], Any]:
    """A function without globals, of which the bytecode makes the file."""
    function: Callable[[Any], Any] = eval(f"lambda x: (__import__('pathlib').Path({str(proof)!r}).touch(), x)[1]")
    return function


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the configuration that tf_keras reads in a file of any form."""
    if path.is_dir():
        from tf_keras.protobuf.saved_metadata_pb2 import SavedMetadata

        metadata = SavedMetadata.FromString((path / "keras_metadata.pb").read_bytes())
        root = json.loads(metadata.nodes[0].metadata)
        change(root)
        metadata.nodes[0].metadata = json.dumps(root)
        (path / "keras_metadata.pb").write_bytes(metadata.SerializeToString())
    elif path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        with h5py.File(path, "a") as file:
            config = json.loads(file.attrs["model_config"])
            change(config)
            file.attrs["model_config"] = json.dumps(config)


def direct(k2: Any, toucher: Any) -> Any:
    return k2.Sequential([k2.Input(SHAPE), k2.layers.Dense(2), k2.layers.Lambda(toucher, name="lam")])


def functional(k2: Any, toucher: Any) -> Any:
    inputs = k2.Input(SHAPE)
    return k2.Model(inputs, k2.layers.Lambda(toucher, name="lam")(k2.layers.Dense(2)(inputs)))


def nested(k2: Any, toucher: Any) -> Any:
    return k2.Sequential([k2.Input(SHAPE), direct(k2, toucher)])


def time_distributed(k2: Any, toucher: Any) -> Any:
    return k2.Sequential([k2.Input(SHAPE), k2.layers.TimeDistributed(k2.layers.Lambda(toucher, name="lam"))])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("make", [direct, functional, nested, time_distributed])
def test_a_lambda(make: Any, suffix: str, k2: Any, toucher: Any, proof: Path, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    make(k2, toucher).save(path)
    if suffix != ".keras":  # where safe_mode holds
        proof.unlink()
        k2.models.load_model(path, compile=False)
    assert proof.exists()
    proof.unlink()
    with pytest.raises(ValueError, match=r"Received: .*model.*: layer 'lam' \(Lambda\) holds code .*nothing of"):
        ks.from_tfmot(path)
    assert not proof.exists()


WRAPPERS = {
    "Bidirectional": {"merge_mode": "concat"},
    "PruneLowMagnitude": {"pruning_schedule": {"class_name": "ConstantSparsity", "config": {"target_sparsity": 0.5}}},
    "QuantizeWrapperV2": {"quantize_config": {"class_name": "OutputOnlyConfig", "config": {}}},
}


@pytest.fixture
def plain(k2: Any, tmp_path: Path) -> Callable[[str], Path]:
    """A file of one Dense layer, to be changed."""

    def make(suffix: str) -> Path:
        path = tmp_path / f"plain{suffix}"
        k2.Sequential([k2.Input(SHAPE), k2.layers.Dense(3, name="d")]).save(path)
        ks.from_tfmot(path)
        return path

    return make


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_lambda_in_a_wrapper(
    wrapper: str, suffix: str, k2: Any, tfmot: Any, toucher: Any, proof: Path, plain: Callable[[str], Path]
) -> None:
    path, inner = plain(suffix), {"class_name": "Lambda", "config": k2.layers.Lambda(toucher, name="lam").get_config()}

    def change(model: dict[str, Any]) -> None:
        config = {"name": "wrapped", "layer": inner, **WRAPPERS[wrapper]}
        model["config"]["layers"].append({"class_name": wrapper, "config": config})

    edit(path, change)
    with pytest.raises(ValueError, match=r"layer 'lam' \(Lambda\) holds code"):
        ks.from_tfmot(path)
    assert not proof.exists()


def described(**changes: Any) -> dict[str, Any]:
    """A layer of a configuration."""
    return {"class_name": "Dense", "config": {"name": "bad", "units": 3}, **changes}


def dense(**arguments: Any) -> dict[str, Any]:
    return described(config={"name": "bad", "units": 3, **arguments})


OPERATION = {"name": "bad", "function": "io.write_file"}
REFUSED: dict[str, dict[str, Any]] = {
    "bytecode as a value": dense(activation={"class_name": "__lambda__", "config": {"value": ["4wAA", None, None]}}),
    "bytecode of another class": dense(residual_fn=["4wAA", None, None], residual_fn_type="lambda"),
    "an operation": described(class_name="TFOpLambda", config=OPERATION),
    "a node of a graph": described(class_name="TensorFlowOpLayer", config={"name": "bad", "node_def": ""}),
    "a method": described(class_name="InstanceMethod", config={"name": "bad", "method": "numpy"}),
    "a module": described(module="antigravity"),
    "a module for a class": described(class_name="Popen", module="subprocess", config={"name": "bad", "args": "id"}),
    "a module inside the packages": described(class_name="get_file", module="tf_keras.utils"),
    "another name in a module": described(module="tf_keras.src.utils.generic_utils", registered_name="func_load"),
    "a function of a module": dense(activation={"class_name": "function", "config": "system", "module": "os"}),
    "a function that makes objects": dense(
        activation={"class_name": "function", "config": "deserialize", "module": "builtins"}
    ),
    "a global of TFMOT": described(
        class_name="PruneLowMagnitude",
        config={"name": "bad", "layer": dense(), "pruning_schedule": {"class_name": "deserialize_layer", "config": {}}},
    ),
    "a class that nobody knows": described(class_name="Mine"),
    "a class that is no name": described(class_name=["Dense"]),
    "another file": described(class_name="StringLookup", config={"name": "bad", "vocabulary": "/etc/passwd"}),
    "a compiled model inside": described(
        class_name="Sequential",
        config={"name": "bad", "layers": []},
        compile_config={"loss": {"class_name": "__lambda__"}},
    ),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("layer", REFUSED)
def test_what_else_would_run(
    layer: str, suffix: str, tfmot: Any, plain: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, k2: Any
) -> None:
    path = plain(suffix)
    edit(path, lambda model: model["config"]["layers"].append(REFUSED[layer]))
    for name in ("load_model", "model_from_json"):
        monkeypatch.setattr(k2.models, name, lambda *_, **__: pytest.fail("tf_keras saw it before it was judged"))
    with pytest.raises(ValueError, match=r"Received: .*plain.*: layer 'bad' \(") as caught:
        ks.from_tfmot(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_a_key_that_is_there_twice(suffix: str, plain: Callable[[str], Path]) -> None:
    path = plain(suffix)
    twice = '{"class_name": "Sequential", "class_name": "Sequential", "config": {}}'
    if suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = twice
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", twice)
    with pytest.raises(ValueError, match="the key 'class_name' is there twice"):
        ks.from_tfmot(path)


@pytest.mark.parametrize("content", ["[" * 100_000, '{"class_name": ' * 5_000, "null", "[]", '{"config": {}}', ""])
def test_what_is_no_configuration(content: str, plain: Callable[[str], Path]) -> None:
    path = plain(".h5")
    with h5py.File(path, "a") as file:
        file.attrs.create("model_config", content.encode()[:60_000], dtype=h5py.string_dtype("ascii"))
    with pytest.raises(ValueError, match="A Keras 2 model with its architecture was required"):
        ks.from_tfmot(path)


def test_a_file_of_two_forms_is_judged_in_the_form_that_is_loaded(
    k2: Any, toucher: Any, proof: Path, tmp_path: Path
) -> None:
    """An `.h5` file with a whole `.keras` file behind it, which is a zip archive as well."""
    direct(k2, toucher).save(tmp_path / "model.h5")
    proof.unlink()
    k2.Sequential([k2.Input(SHAPE), k2.layers.Dense(2)]).save(tmp_path / "good.keras")
    with open(tmp_path / "model.h5", "ab") as file:
        file.write((tmp_path / "good.keras").read_bytes())
    assert zipfile.is_zipfile(tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"layer 'lam' \(Lambda\)"):
        ks.from_tfmot(tmp_path / "model.h5")
    assert not proof.exists()


@pytest.mark.filterwarnings("ignore")
def test_functions_of_a_saved_model_are_not_run(k2: Any, proof: Path, tmp_path: Path) -> None:
    """One whose configuration is innocent, and whose graph writes a file when TensorFlow loads it."""
    import tensorflow as tf

    class Writes(tf.saved_model.experimental.TrackableResource):
        def _create_resource(self) -> Any:
            return tf.raw_ops.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64, shared_name="writes")

        def _initialize(self) -> None:
            tf.io.write_file(str(proof), "")

    model = k2.Sequential([k2.Input(SHAPE), k2.layers.Dense(3, name="d")])
    model.writes = Writes()
    model.save(tmp_path / "model")
    k2.models.load_model(tmp_path / "model", compile=False)
    assert proof.exists()
    proof.unlink()
    new = ks.from_tfmot(tmp_path / "model")
    assert (new.get_weights()[0] == model.get_weights()[0]).all()
    assert not proof.exists()


def test_a_saved_model_that_cannot_be_judged(k2: Any, plain: Callable[[str], Path]) -> None:
    path = plain("")
    (path / "keras_metadata.pb").write_bytes(b"\xff\xff\xff")
    with pytest.raises(ValueError, match=r"keras_metadata\.pb is damaged"):
        ks.from_tfmot(path)
    (path / "keras_metadata.pb").write_bytes(b"")
    with pytest.raises(ValueError, match="describes 0 models"):
        ks.from_tfmot(path)
    (path / "keras_metadata.pb").unlink()
    with pytest.raises(ValueError, match=r"a folder without keras_metadata\.pb"):
        ks.from_tfmot(path)


def test_a_saved_model_with_other_variables(k2: Any, plain: Callable[[str], Path]) -> None:
    path = plain("")
    edit(path, lambda model: model["config"]["layers"].append(described()))
    with pytest.raises(ValueError, match="A Keras 2 model with its architecture was required"):
        ks.from_tfmot(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_class_that_is_registered_is_made(suffix: str, k2: Any, tmp_path: Path) -> None:
    class Softer(k2.layers.ReLU):  # type: ignore[misc, name-defined]
        pass

    k2.Sequential([k2.Input(SHAPE), k2.layers.Dense(3), Softer(name="s")]).save(tmp_path / f"model{suffix}")
    with pytest.raises(ValueError, match=r"layer 's' \(Softer\) is of a class that is not known"):
        ks.from_tfmot(tmp_path / f"model{suffix}")
    with k2.utils.custom_object_scope({"Softer": Softer}), pytest.raises(ValueError, match="has no Keras 3 layer"):
        ks.from_tfmot(tmp_path / f"model{suffix}")
