"""The page: whole, self-contained, and it says what the report says."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

from keras_sparse.report import html

RECIPE = "format: 1\nrules:\n- rule: Quantize\n"
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Reader(HTMLParser):
    """Text, attributes, and whether every element is closed in turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f" {data}"


def test_it_needs_nothing_else(report: dict[str, Any]) -> None:
    page = html.page(report, RECIPE)
    assert "http://" not in page and "https://" not in page
    assert not re.search(r"@import|<script|<link|<img", page)
    for name, value in Reader(page).attributes:
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#"), value
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_ids_are_unique_and_those_that_are_used_exist(report: dict[str, Any]) -> None:
    page = html.page(report, RECIPE)
    ids = [value for name, value in Reader(page).attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(ids)


def test_native_kernels_are_said_where_they_are(report: dict[str, Any]) -> None:
    text = " ".join(Reader(html.page(report, RECIPE)).text.split())
    assert "takes 12.5 µs: 1.75× as fast as dense_int8.tflite" in text and "on 999 of 1,000 images" in text
    assert "native" not in Reader(html.page({**report, "native": None}, RECIPE)).text


def test_it_says_what_the_report_says(report: dict[str, Any]) -> None:
    text = " ".join(Reader(html.page(report, RECIPE)).text.split())
    for said in (
        "a folder <b>named</b> & co",  # escaped, so it is text
        "2026-01-02 03:04:05 UTC",
        "sparse_int8.onnx ONNX Runtime 89.50 % 90.00 % 120.0 kB 40.0 kB 25.5 µs 1.50×",
        "pw1 3,200 2,560 (80.00 %) 2,560 (80.00 %)",
        "entry * 360",
        "pass held & passed 0.50 points below",
        "Zeros in pruned layers 80.00 % counted in the file, 1 of 2 layers",
        "MISS held and missed 4 of 5 layers",
        "rule: Quantize",
        "A Processor (R), 2 cores",
        "keras-sparse demo --seed 0",
        "1.0 point below dense float",
    ):
        assert said in text, said


def test_a_quick_run_is_not_judged(report: dict[str, Any]) -> None:
    text = Reader(html.page(report | {"judged": False}, RECIPE)).text
    assert "Not judged" in text
    assert "held and missed" not in text
    assert "point below dense float" not in text


def test_it_is_made_of_what_json_holds(report: dict[str, Any]) -> None:
    assert html.page(json.loads(json.dumps(report)), RECIPE) == html.page(report, RECIPE)


def test_what_failed_is_named_and_the_rest_is_shown(report: dict[str, Any]) -> None:
    report["failed"] = ["sparse_int8.tflite"]
    report["failures"] = [{"what": "sparse_int8.tflite", "why": "off by <5>"}, {"what": "latency", "why": "too slow"}]
    report["files"] = [each | {"latency": None, "speedup": None} for each in report["files"]]
    del report["files"][2]
    for kernel in report["kernels"]:
        kernel["zeros"] = {"sparse_int8.onnx": kernel["zeros"]["sparse_int8.onnx"]}
    text = " ".join(Reader(html.page(report | {"native": None}, RECIPE)).text.split())
    for said in (
        "Failed sparse_int8.tflite off by <5> latency too slow",
        "sparse_int8.onnx in ONNX Runtime",
        "sparse_int8.onnx ONNX Runtime 89.50 % 90.00 % 120.0 kB 40.0 kB - -",
        "sparse_int8.tflite failed - - - - - -",
        "pw1 3,200 2,560 (80.00 %)",
    ):
        assert said in text, said


def test_nothing_but_the_training_may_be_there(report: dict[str, Any]) -> None:
    failed = [each["file"] for each in report["files"]]
    report |= {"files": [], "kernels": [], "native": None, "failed": failed}
    report["failures"] = [{"what": file, "why": "no converter"} for file in failed]
    text = " ".join(Reader(html.page(report, RECIPE)).text.split())
    assert all(f"{file} failed" in text for file in failed)
    assert "Sparsity over training" in text and "Accuracy against size" not in text and "Zeros per layer" not in text
