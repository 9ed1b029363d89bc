"""What fails after the training costs its own figures and nothing else. Training, exports and runtimes are fakes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_sparse.demo import data, files, results, run, summary, training
from keras_sparse.exporting.check import ExportError

LABELS = np.arange(10, dtype=np.uint8)
ALL = [file for _, file in results.FILES]
WHY = "the file's outputs are off by 5"


class Fakes:
    """Stands in for `ks` and `isolated`; whatever is in `failing` raises. Every image is right everywhere."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.error: BaseException = ExportError(f"{WHY}\nand more")

    def need(self, what: str) -> None:
        if what in self.failing:
            raise self.error

    def calibrate(self, model: Any, samples: Any) -> Any:
        self.need("calibrate")
        return model

    def export(self, model: Any, path: Path, samples: Any) -> Any:
        self.need(path.name)
        path.write_bytes(b"a model")
        report = SimpleNamespace(verification=[], tensors=[SimpleNamespace(name="pw1/kernel", stored_as="k")])
        return SimpleNamespace(path=path, target="onnxruntime" if path.suffix == ".onnx" else "litert", report=report)

    def run(self, path: Path, arrays: Any, engine: str | None = None) -> list[np.ndarray]:
        self.need(f"run {path.name}" if engine is None else "native run")
        return [np.eye(10)[LABELS[: len(arrays[0])]]]

    def benchmark(self, artifacts: Any, rounds: int, progress: Any, native: bool) -> Any:
        self.need("native timing" if native else "timing")
        return SimpleNamespace(files=[SimpleNamespace(path=str(a.path), latency=1e-5, speedup=1.5) for a in artifacts])

    def sparsity(self, path: Path) -> Any:
        self.need("sparsity")
        return SimpleNamespace(kernels=[SimpleNamespace(name="k", zeros=75, size=100)])

    def bundle(self, path: Path, model: bytes, **manifest: Any) -> None:
        self.need("bundle")
        path.write_bytes(model)

    def page(self, report: Any, recipe: str) -> str:
        self.need("page")
        return "a page"


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fakes:
    made = Fakes()
    history = {"accuracy": [0.8], "val_accuracy": [0.8]}
    fit = training.Fit("sparse int8", 1, 20, 1.0, history, ["pw1/kernel"], [(0, 0.0), (9, 0.75)])

    def model() -> Any:
        return keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])

    images = np.zeros((10, 28, 28), np.uint8)
    dataset = data.Dataset(images, LABELS, images, LABELS, data.LABELS, "made up")
    monkeypatch.setattr(data, "load", lambda folder: dataset)
    monkeypatch.setattr(files, "keras_correct", lambda model, images: 10)
    monkeypatch.setattr(training, "dense", lambda *given: (model(), fit))
    monkeypatch.setattr(training, "sparse", lambda *given: (model(), fit))
    monkeypatch.setattr(files, "ks", made)
    monkeypatch.setattr(files, "isolated", made)
    monkeypatch.setattr(files, "available", lambda: True)
    monkeypatch.setattr(run, "write_bundle", made.bundle)
    return made


def ran(out: Path) -> tuple[run.Results, str]:
    console = Console(file=io.StringIO(), highlight=False, width=130)
    found = run.run(run.Options(out=out, quick=True), console)
    summary.show(found, console)
    return found, console.file.getvalue()


def test_nothing_fails(fakes: Fakes, tmp_path: Path) -> None:
    found, said = ran(tmp_path / "o")
    assert found.failures == () and found.failed == [] and "FAILED" not in said
    assert {path.name for path in (tmp_path / "o").iterdir()} == set(summary.WRITTEN)
    assert len(found.bars) == 10


@pytest.mark.parametrize("lost", ALL)
def test_an_export_that_fails_costs_that_file(fakes: Fakes, tmp_path: Path, lost: str) -> None:
    out = tmp_path / "o"
    out.mkdir()
    for name in (lost, "model.ksb"):
        (out / name).write_bytes(b"of an earlier run")
    fakes.failing = {lost}
    found, said = ran(out)
    report, page = json.loads((out / "report.json").read_text()), (out / "report.html").read_text()

    gone = {lost, *(["model.ksb"] if lost == results.NATIVE else [])}
    assert {path.name for path in out.iterdir()} == set(summary.WRITTEN) - gone
    assert (out / "model.ksb").is_file() is (lost != results.NATIVE)
    assert [each.file for each in found.files] == [each for each in ALL if each != lost]
    assert report["failed"] == found.failed == [lost]
    assert report["failures"][0] == {"what": lost, "why": f"{WHY} and more"}
    assert f"FAILED {lost}: {WHY} and more" in said and WHY in page.replace("&#39;", "'") and f"<td>{lost}</td>" in page

    assert len(found.bars) == 10
    lost_bars = [bar for bar in found.bars if bar.measured == results.NO_FIGURE]
    native = (
        {bar for bar in found.bars if "native" in bar.text} if lost in (results.NATIVE, results.BASELINE) else set()
    )
    assert set(lost_bars) == {bar for bar in found.bars if bar.text.startswith(lost)} | native
    assert not any(bar.holds for bar in lost_bars)


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device"), KeyError("x")])
def test_whatever_an_export_raises_is_named(fakes: Fakes, tmp_path: Path, error: Exception) -> None:
    fakes.failing, fakes.error = {"sparse_int8.onnx"}, error
    (failure,) = ran(tmp_path)[0].failures
    assert failure.what == "sparse_int8.onnx" and failure.why
    assert type(error).__name__ in failure.why or "No space left" in failure.why


def test_nothing_can_be_exported(fakes: Fakes, tmp_path: Path) -> None:
    fakes.failing = set(ALL)
    found, said = ran(tmp_path)
    assert found.failed == ALL and found.files == () and len(found.bars) == 10
    assert not any(bar.holds for bar in found.bars)
    assert (tmp_path / "sparse_int8.keras").is_file()
    assert all(f"{file} failed" in " ".join(said.split()) for file in ALL)
    assert "Sparsity over training" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("failing", "failed", "what", "unheld"),
    [
        ("calibrate", ["dense_int8.tflite"], ["dense_int8.tflite", "native kernels"], 3),
        ("run sparse_int8.onnx", ["sparse_int8.onnx"], ["sparse_int8.onnx"], 2),
        ("timing", [], ["latency"], 0),
        ("native run", [], ["native kernels"], 2),
        ("native timing", [], ["native kernels"], 2),
        ("sparsity", [], ["zeros of the sparse files", "model.ksb"], 2),
        ("bundle", [], ["model.ksb"], 0),
    ],
)
def test_every_other_step_may_fail(
    fakes: Fakes, tmp_path: Path, failing: str, failed: list[str], what: list[str], unheld: int
) -> None:
    fakes.failing = {failing}
    found, said = ran(tmp_path)
    assert found.failed == failed
    assert [each.what for each in found.failures] == what
    assert sum(bar.measured == results.NO_FIGURE for bar in found.bars) == unheld and len(found.bars) == 10
    assert all(f"FAILED {each}: " in said for each in what)
    assert len(json.loads((tmp_path / "report.json").read_text())["failures"]) == len(what)
    assert (tmp_path / "report.html").read_text().rstrip().endswith("</html>")


def test_figures_are_kept_where_the_page_fails(fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.html, "page", fakes.page)
    fakes.failing = {"page"}
    found, _ = ran(tmp_path)
    assert [each.what for each in found.failures] == ["report.html"]
    assert not (tmp_path / "report.html").exists()
    assert json.loads((tmp_path / "report.json").read_text())["failures"][0]["what"] == "report.html"


def test_an_interruption_is_no_failure_of_a_file(fakes: Fakes, tmp_path: Path) -> None:
    fakes.failing, fakes.error = {"sparse_int8.onnx"}, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ran(tmp_path)
