from __future__ import annotations

import json

import keras
import pytest

import keras_sparse as ks


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    folder = tmp_path_factory.mktemp("bench")
    return [ks.export(model, folder / name) for name in ("m.tflite", "m.onnx")]


def test_the_first_file_is_the_baseline(artifacts):
    report = ks.benchmark([artifacts[0], str(artifacts[1].path)], rounds=10)
    assert [each.path for each in report.files] == [str(artifact.path) for artifact in artifacts]
    assert report.files[0].speedup == 1.0
    assert [each.bytes for each in report.files] == [artifact.report.bytes for artifact in artifacts]
    assert all(each.latency > 0 for each in report.files)
    assert "1.00x" in str(report) and "10 interleaved rounds" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["rounds"] == 10


@pytest.mark.parametrize("arguments", [{"files": []}, {"files": ["a.onnx"], "rounds": 0}])
def test_nothing_to_measure_is_refused(arguments):
    with pytest.raises(ValueError, match="At least one file and one round"):
        ks.benchmark(**arguments)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ks.report.benchmark.isolated.RuntimeFailure, match=r"none\.onnx"):
        ks.benchmark(tmp_path / "none.onnx")
