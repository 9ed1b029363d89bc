"""The whole demo once, as `--quick` runs it: its files, its report, and its bundle on the edge runner."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras_sparse_edge.native import available
from rich.console import Console

import keras_sparse as ks
from keras_sparse.demo import data, run, summary
from keras_sparse.runtime import isolated

EDGE = Path(__file__).resolve().parents[2] / "edge"


@pytest.fixture(scope="module")
def demo(tmp_path_factory, monkeypatch_module):
    out = tmp_path_factory.mktemp("demo") / "made" / "here"
    console = Console(file=io.StringIO(), highlight=False)
    results = run.run(run.Options(out=out, quick=True), console)
    summary.show(results, console)
    return SimpleNamespace(out=out, results=results, said=console.file.getvalue())


@pytest.fixture(scope="module")
def monkeypatch_module(tmp_path_factory):
    """No copy of the data but the embedded one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "SYSTEM", tmp_path_factory.mktemp("none") / "none")
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        patch.setenv("KERAS_SPARSE_OFFLINE", "1")
        yield patch


@pytest.mark.slow
class TestQuick:
    def test_it_writes_what_it_says_and_nothing_else(self, demo):
        assert {path.name for path in demo.out.iterdir()} == set(summary.WRITTEN)
        for name in summary.WRITTEN:
            assert name in demo.said

    def test_it_says_its_data_its_steps_and_that_nothing_is_judged(self, demo):
        assert "Source: embedded subset" in demo.said
        assert "2,560 for training, 400 for testing" in demo.said
        for number in range(1, 8):
            assert f"[{number}/7]" in demo.said
        assert "not judged" in demo.said and "MISS" not in demo.said
        assert "keras-sparse demo --epochs 3 --seed 0 --quick" in demo.said

    def test_the_report_holds_what_the_files_do(self, demo):
        report = json.loads((demo.out / "report.json").read_text())
        x, y = _test_images()
        for each in report["files"]:
            (scores,) = isolated.run(demo.out / each["file"], [x])
            assert int(np.sum(scores.argmax(1) == y)) == each["correct"]
            assert each["bytes"] == (demo.out / each["file"]).stat().st_size > each["bytes_gzip"]
            assert each["latency"] > 0
        assert report["files"][0]["speedup"] == 1
        assert report["judged"] is False and len(report["bars"]) == (10 if available() else 8)

    @pytest.mark.skipif(not available(), reason="no native kernels here")
    def test_the_native_kernels_run_it_as_litert_does(self, demo):
        native = demo.results.native
        assert (native.file, native.baseline) == ("sparse_int8.tflite", "dense_int8.tflite")
        assert native.equal == native.images == 400 and native.speedup > 0
        assert f"{native.speedup:.2f}x as fast as dense_int8.tflite" in demo.said

    def test_pruned_layers_have_exactly_their_zeros_in_both_files(self, demo):
        pruned = [each for each in demo.results.kernels if each.pruned]
        assert [each.name for each in pruned] == [
            "pw1/kernel",
            "pw2/kernel",
            "pw3/kernel",
            "pw4/kernel",
        ]
        for each in pruned:
            assert each.zeros == dict.fromkeys(["sparse_int8.tflite", "sparse_int8.onnx"], each.size * 3 // 4)
        assert all(bar.holds for bar in demo.results.bars if "zeros" in bar.text)

    def test_it_trains_as_the_recipe_says(self, demo):
        assert ks.Recipe.load(demo.out / "recipe.yaml").to_dict() == demo.results.recipe
        dense, sparse = demo.results.fits
        assert sparse.updates[-1][1] == pytest.approx(0.75)
        assert sparse.updates[-1][0] < demo.results.quantize_begin < sparse.steps == 240
        assert dense.history["accuracy"][-1] > 0.5

    def test_the_saved_models_are_those_of_the_files(self, demo):
        x, y = _test_images()
        for name, file in (("dense_float.keras", 0), ("sparse_int8.keras", 2)):
            model = keras.models.load_model(demo.out / name)
            right = int(np.sum(model.predict(x, verbose=0).argmax(1) == y))
            assert right == demo.results.files[file].keras_correct

    def test_the_page_is_whole(self, demo):
        page = (demo.out / "report.html").read_text()
        assert page.rstrip().endswith("</html>")
        assert "http://" not in page and "https://" not in page

    def test_the_edge_runner_runs_the_bundle_on_the_example(self, demo, monkeypatch, capsys):
        monkeypatch.syspath_prepend(str(EDGE))
        from keras_sparse_edge.__main__ import main

        assert main([str(demo.out / "model.ksb"), str(demo.out / "example_input.npy"), "--json"]) == 0
        results = json.loads(capsys.readouterr().out)
        x, _ = _test_images()
        (scores,) = isolated.run(demo.out / "sparse_int8.tflite", [x[: run.EXAMPLES]])
        assert [each["top"][0]["class"] for each in results] == scores.argmax(1).tolist()
        assert results[0]["top"][0]["label"] in data.LABELS
        assert 0 < results[0]["top"][0]["score"] <= 1


def _test_images():
    dataset = data.load(offline=True)
    return dataset.x_test[:400, ..., None].astype(np.float32) / 255, dataset.y_test[:400]


def test_a_folder_that_cannot_be_is_found_out_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        run.run(run.Options(out=tmp_path / "file" / "out", quick=True), Console(file=io.StringIO()))


def test_missing_data_is_found_out_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run.run(run.Options(data=tmp_path / "nowhere", out=tmp_path), Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (run.Options(), "keras-sparse demo --epochs 4 --seed 0 --out keras-sparse-demo"),
        (
            run.Options(data=Path("my data"), quick=True, epochs=5, seed=7, out=Path("o")),
            "keras-sparse demo --epochs 5 --seed 7 --data 'my data' --quick --out o",
        ),
    ],
)
def test_the_command_that_repeats_it(options, command):
    assert options.settled().command == command
