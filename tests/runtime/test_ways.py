"""All the ways in which a file is run on this machine."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from keras_sparse import target
from keras_sparse.runtime import ways

EXACT = "ONNX Runtime with exact sums (as with VNNI, on ARM64)"


def names(name):
    return [each.runtime for each in ways.ways(target.TARGETS[name])]


def test_a_tflite_file_runs_with_delegates_and_without(monkeypatch):
    monkeypatch.setattr(ways.emulated, "command", lambda: None)
    assert names("litert") == ["LiteRT", "LiteRT without delegates"]


def test_and_on_aarch64_where_it_can_be_emulated(monkeypatch):
    monkeypatch.setattr(ways.emulated, "command", lambda: "arm64run")
    monkeypatch.setattr(ways.emulated, "works", lambda command: None)
    assert names("litert")[2:] == ["LiteRT on AArch64 (emulated)"]


@pytest.mark.parametrize("built", [True, False])
def test_a_file_for_the_native_kernels_is_run_by_them(monkeypatch, built):
    monkeypatch.setattr(ways, "available", lambda: built)
    if built:
        assert names("litert-native") == ["LiteRT", "LiteRT without delegates", "LiteRT with native kernels"]
    else:
        with pytest.raises(RuntimeError, match="no C compiler"):
            names("litert-native")


@pytest.mark.parametrize("installed", [True, False])
def test_an_onnx_file_runs_in_openvino_where_that_is_installed(monkeypatch, installed):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    found = ways.ways(target.TARGETS["onnxruntime"])
    assert [(each.runtime, each.required) for each in found] == [("ONNX Runtime", True), ("OpenVINO", False)][
        : 1 + installed
    ]


@pytest.mark.parametrize("cut", [True, False])
@pytest.mark.parametrize("without", [True, False])
def test_a_file_whose_sums_may_be_cut_off_is_run_both_ways_on_every_processor(monkeypatch, cut, without):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(ways.isolated, "saturates", lambda: cut)
    exact, saturated, openvino = ways.ways(target.TARGETS["onnxruntime"], ("a", "b", "c", "d"), without)
    assert (exact.runtime, exact.run.keywords["engine"], exact.required) == (EXACT, "exact", True)
    assert saturated.run.keywords["engine"] == (None if cut else "saturating")
    assert (saturated.runtime, saturated.required) == ("ONNX Runtime on x86-64 without VNNI", without)
    assert "'a', 'b', 'c' and 1 more" in saturated.cause and "reduce_range" in saturated.cause
    assert not openvino.required
    own = ways.ways(target.TARGETS["openvino"], ("a",), without)[-1]
    assert own.required == (without or not cut)  # it cuts them off as well, where the processor does
    assert own.runtime == "OpenVINO" + " on x86-64 without VNNI" * cut and bool(own.cause) == cut
    assert "x64quantprecision" in saturated.cause and "x64quantprecision" not in own.cause
    elsewhere, other = ways.ways(target.TARGETS["tensorrt"], ("a",))
    assert (elsewhere.runtime, other.required, bool(other.cause)) == (EXACT, False, cut)


def test_items_are_the_first_ones():
    way = ways.Way("somewhere", None, items=2)
    assert [len(each) for each in way.first([np.zeros(5), np.zeros(5)])] == [2, 2]
    assert way.first({"a": np.arange(3)})["a"].tolist() == [0, 1]
    assert len(ways.Way("somewhere", None).first([np.zeros(5)])[0]) == 5
