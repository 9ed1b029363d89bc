"""How the demo ends: misses are shown, and the next command is one that runs."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from keras_sparse.demo import results, run, summary
from keras_sparse.demo.attempts import Failure


@pytest.fixture
def found(tmp_path: Path) -> run.Results:
    files = tuple(
        results.FileResult(name, file, "LiteRT", 850, 851, 1000, 99_200, 37_000, 25.5e-6, 1.5)
        for name, file in (("dense float", "dense_float.tflite"), ("sparse int8", "sparse_int8.tflite"))
    )
    for name in summary.WRITTEN:
        (tmp_path / name).write_bytes(b"x" * 1500)
    bars = (results.Bar("one", "0.1", True), results.Bar("[two]", "2.0", False))
    options = run.Options(out=tmp_path).settled()
    native = results.NativeResult("sparse_int8.tflite", "dense_int8.tflite", 12.5e-6, 1.75, 1000, 1000)
    return run.Results(
        options, "made up", {"train": 1, "test": 1000}, (), files, (), native, bars, (), 860, 1, {}, 61.2, "now"
    )


def said(found: run.Results, terminal: bool = False) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, highlight=False, width=130, color_system=None)
    summary.show(found, console)
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_it_shows_the_table_the_bars_and_the_files(found: run.Results, terminal: bool) -> None:
    text = said(found, terminal)
    for wanted in ("85.00 %", "85.10 %", "99.2 kB", "37.0 kB", "25.5", "1.50x", "pass  one: 0.1", "MISS  [two]: 2.0"):
        assert wanted in text, wanted
    assert all(f"  {name}" in text for name in summary.WRITTEN)
    assert "61 s in all" in text
    assert not found.holds


def test_it_says_whether_the_native_kernels_were_there(found: run.Results) -> None:
    assert "sparse_int8.tflite takes 12.5 us, 1.75x as fast as dense_int8.tflite" in said(found)
    assert "Without the native INT8 kernels" in said(dataclasses.replace(found, native=None))


def test_what_failed_is_named_with_its_reason(found: run.Results) -> None:
    failures = (Failure("sparse_int8.onnx", "off by [5]"), Failure("model.ksb", "no room"))
    (found.options.out / "model.ksb").unlink()
    text = said(dataclasses.replace(found, failures=failures))
    rows = [line.split() for line in text.splitlines()]
    assert ["sparse_int8.onnx", "failed", "-", "-", "-", "-", "-"] in rows
    assert "FAILED sparse_int8.onnx: off by [5]" in text and "FAILED model.ksb: no room" in text
    assert ["model.ksb", "not", "made", "FAILED,", "see", "above"] in rows
    assert "-m keras_sparse_edge" not in text  # there is no bundle to run


def test_a_file_that_was_not_timed_keeps_its_other_figures(found: run.Results) -> None:
    files = tuple(dataclasses.replace(each, latency=None, speedup=None) for each in found.files)
    rows = said(dataclasses.replace(found, files=files)).splitlines()
    (row,) = (each for each in rows if each.startswith("dense_float.tflite"))
    assert row.split()[-2:] == ["-", "-"] and "85.00 %" in row


def test_a_quick_run_is_not_judged(found: run.Results) -> None:
    text = said(dataclasses.replace(found, options=run.Options(out=found.options.out, quick=True).settled()))
    assert "not judged" in text and "MISS" not in text


def test_the_next_command_is_quoted_and_finds_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary.importlib.util, "find_spec", lambda name: object())
    ending = "-m keras_sparse_edge 'a b/model.ksb' 'a b/example_input.npy'"
    assert summary.runner_command(Path("a b")) == f"{summary.python()} {ending}"
    monkeypatch.setattr(summary.importlib.util, "find_spec", lambda name: None)
    command = summary.runner_command(Path("a b"))
    assert command.startswith("PYTHONPATH=") and command.endswith(ending)


def test_python_is_this_python() -> None:
    assert Path(summary.python()).resolve() == Path(sys.executable).resolve()
