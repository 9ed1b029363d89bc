"""The plots: labels apart from each other, colours of the page, every value shown."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.report import plots


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@given(st.lists(st.floats(0, 1), max_size=8), st.sampled_from([0.05, 0.1]))
def test_spread_keeps_the_order_and_the_distance(heights: list[float], apart: float) -> None:
    placed = plots.spread(heights, apart)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    for a, b in itertools.pairwise(order):
        assert placed[b] - placed[a] >= apart - 1e-5


def test_spread_leaves_alone_what_is_apart() -> None:
    assert plots.spread([0.9, 0.1, 0.5], 0.1) == [0.9, 0.1, 0.5]


@pytest.mark.parametrize("limit", [None, 0.89])
def test_accuracy_against_size_labels_every_file(report: dict[str, Any], limit: float | None) -> None:
    svg = plots.accuracy_against_size(report["files"], limit)
    for each in report["files"]:
        assert each["file"] in texts(svg)
    assert ("1.0 point below dense float" in texts(svg)) == (limit is not None)


def test_training_shows_sparsity_accuracy_and_where_quantization_begins(report: dict[str, Any]) -> None:
    svg = plots.training(report["fits"][1], 12, 0.8, 0.9)
    assert {"zeros", "accuracy on the test set", "dense float baseline", "quantization begins"} <= set(texts(svg))
    assert {"0", "80", "100"} <= set(texts(svg))


def test_zeros_per_layer_counts_each_kernel(report: dict[str, Any]) -> None:
    found = texts(plots.zeros_per_layer(report["kernels"], "sparse_int8.tflite"))
    assert {"entry", "0 of 360", "pw1", "2,560 of 3,200"} <= set(found)


def test_colours_are_those_of_the_page(report: dict[str, Any]) -> None:
    for svg in (
        plots.accuracy_against_size(report["files"], 0.89),
        plots.training(report["fits"][1], 12, 0.8, 0.9),
        plots.zeros_per_layer(report["kernels"], "sparse_int8.tflite"),
    ):
        assert svg.startswith("<svg viewBox=") and svg.endswith("</svg>")
        assert not re.search(r"#[0-9a-f]{6}\b", svg), "a colour that does not follow the scheme"
        assert "var(--text)" in svg
