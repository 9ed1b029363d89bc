"""Break-evens: from measured layers, and the same in the data files and in the library's tables."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def break_evens():
    spec = importlib.util.spec_from_file_location("break_evens", ROOT / "benchmarks" / "break_evens.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_data_files(break_evens):
    files = sorted(break_evens.DATA.glob("*.json"))
    assert [path.stem for path in files] == sorted(path.stem for path in break_evens.TABLES.glob("*.h"))
    for path in files:
        measured = json.loads(path.read_text())
        assert (break_evens.TABLES / f"{path.stem}.h").read_text() == break_evens.table(measured)
        assert {*measured} >= {"kernels", "machine", "date", "litert", "command"} and measured["kernels"] == path.stem


def test_break_evens_are_on_the_safe_side_of_what_was_measured(break_evens):
    """At them every layer of the class gains, as far as noise of a tenth allows."""
    for path in break_evens.DATA.glob("*.json"):
        measured = json.loads(path.read_text())
        for kind, size, total, gains in break_evens.layers(measured):
            rows = measured["break_evens"].get(kind, [])
            start = next((zeros for most, zeros in rows if most is None or size <= most), None)
            if start is not None and total >= break_evens.LEAST[kind]:
                points = list(zip(measured["sparsities"], gains, strict=True))
                assert break_evens.gain(points, start) > 1.0, (path.stem, kind, size)


def one_class(*gains):
    layers = [{"pixels": 100, "inputs": 64, "outputs": 64, "taps": 1, "gains": each} for each in gains]
    return {"sparsities": [0.4, 0.6, 0.9], "convolutions": layers, "connected": []}


@pytest.mark.parametrize(
    ("gains", "wanted"),
    [
        ([[1.2, 1.5, 2.0]], 0.4),
        ([[1.0, 1.1, 2.0]], 0.6),
        ([[1.2, 1.5, 2.0], [0.9, 1.1, 3.0]], 0.6),  # the slowest of a class decides
        ([[1.2, 1.0, 2.0]], 0.66),  # from where on it stays above, 1 / time being interpolated
        ([[0.9, 1.0, 1.05]], None),
    ],
)
def test_a_class_is_taken_from_where_all_of_it_gains(break_evens, gains, wanted):
    found = break_evens.break_evens(one_class(*gains))
    assert found == ({} if wanted is None else {"1x1": [[256, pytest.approx(wanted)]]})


def test_layers_that_are_too_small_to_be_taken_decide_nothing(break_evens):
    measured = one_class([1.2, 1.5, 2.0], [0.5, 0.6, 0.7])
    measured["convolutions"][1]["pixels"] = 2
    assert break_evens.break_evens(measured) == {"1x1": [[256, 0.4]]}
