"""Files of Keras 2: those that Keras 3 refuses, those that it loads too, those with layers of TFMOT."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks


@pytest.fixture
def depthwise(k2: Any, tmp_path: Path) -> Any:
    """A model and its `.h5` file, whose configuration says `groups` of a DepthwiseConv2D."""
    la = k2.layers
    model = k2.Sequential([k2.Input((6, 6, 3)), la.DepthwiseConv2D(3, name="dw"), la.Flatten(), la.Dense(2)])
    model.save(tmp_path / "model.h5")
    return model, tmp_path / "model.h5"


def test_a_file_that_keras_3_refuses(depthwise: Any, noise: Any, on_arrays: Any) -> None:
    model, path = depthwise
    with pytest.raises(Exception, match="groups"):
        keras.saving.load_model(path, compile=False)
    x = noise(4, 6, 6, 3)
    for given in (path, str(path)):
        np.testing.assert_allclose(on_arrays(ks.from_tfmot(given), x)[0], on_arrays(model, x)[0], atol=1e-6)


@pytest.mark.parametrize("name", ["ad01.h5", "pretrainedResnet.h5"])
def test_mlperf_tiny_as_keras_3_loads_it(name: str, k2: Any, shared: Path, noise: Any, on_arrays: Any) -> None:
    path = shared / "models" / "mlperf-tiny" / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    ours, theirs = ks.from_tfmot(path), keras.saving.load_model(path, compile=False)
    assert (ours.name, ours.input_shape) == (theirs.name, theirs.input_shape)
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    for made, wanted in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(made, wanted)
    x = noise(4, *ours.input_shape[1:])
    np.testing.assert_array_equal(on_arrays(ours, x)[0], on_arrays(theirs, x)[0])


FOLDER = pytest.param("", marks=pytest.mark.slow, id="SavedModel")


@pytest.mark.parametrize("suffix", [".h5", ".keras", FOLDER])
def test_files_of_pruned_models(suffix: str, k2: Any, tfmot: Any, tmp_path: Path, noise: Any, on_arrays: Any) -> None:
    model = k2.Sequential([k2.Input((6,)), k2.layers.Dense(5, name="dense"), k2.layers.Dense(2, name="head")])
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model)
    wrapped.save(tmp_path / f"model{suffix}")
    new = ks.from_tfmot(tmp_path / f"model{suffix}")
    assert new.layers[0].name == "dense"
    np.testing.assert_allclose(on_arrays(new, noise(4, 6))[0], on_arrays(model, noise(4, 6))[0], atol=1e-6)


@pytest.mark.parametrize("suffix", [".h5", FOLDER])
def test_files_of_quantized_models(suffix: str, k2: Any, quantized: Any, tmp_path: Path, noise: Any) -> None:
    model = k2.Sequential([k2.Input((6,), name="x"), k2.layers.Dense(5, activation="relu", name="dense")])
    old = quantized(model, noise(8, 6))
    old.save(tmp_path / f"model{suffix}")
    wanted, made = ks.from_tfmot(old), ks.from_tfmot(tmp_path / f"model{suffix}")
    assert [variable.path for variable in made.variables] == [variable.path for variable in wanted.variables]
    for got, want in zip(made.variables, wanted.variables, strict=True):
        np.testing.assert_array_equal(got, want)


def test_what_is_no_file_of_a_model(k2: Any, depthwise: Any, tmp_path: Path) -> None:
    model, path = depthwise
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.h5"):
        ks.from_tfmot(tmp_path / "none.h5")
    model.save_weights(tmp_path / "weights.h5")
    (tmp_path / "noise.h5").write_bytes(b"no model")
    (tmp_path / "cut.h5").write_bytes(path.read_bytes()[:1000])
    keras.Sequential([keras.Input((3,))]).save(tmp_path / "three.keras")
    (tmp_path / "folder").mkdir()
    for name in ("weights.h5", "noise.h5", "cut.h5", "three.keras", "folder"):
        with pytest.raises(ValueError, match=rf"A Keras 2 model with its architecture was required.*{name}"):
            ks.from_tfmot(tmp_path / name)


def test_without_tf_keras_or_tfmot(
    k2: Any, quantized: Any, depthwise: Any, tmp_path: Path, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = k2.Sequential([k2.Input((6,)), k2.layers.Dense(5, name="dense")])
    quantized(model, noise(8, 6)).save(tmp_path / "qat.h5")
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization.quantization.keras", None)
    with pytest.raises(ImportError, match=r"qat\.h5 has layers of TFMOT.*pip install tensorflow-model-optimization"):
        ks.from_tfmot(tmp_path / "qat.h5")
    ks.from_tfmot(depthwise[1])  # has none, and needs none
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(ImportError, match=r"tf_keras is needed to load model\.h5.*pip install tf_keras"):
        ks.from_tfmot(depthwise[1])
