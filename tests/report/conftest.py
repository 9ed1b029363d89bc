"""A report as the demo writes it, with figures small enough to read."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def report() -> dict[str, Any]:
    def file(name: str, suffix: str, correct: int, gzipped: int) -> dict[str, Any]:
        return {
            "name": name,
            "file": f"{name.replace(' ', '_')}.{suffix}",
            "runtime": "LiteRT" if suffix == "tflite" else "ONNX Runtime",
            "correct": correct,
            "keras_correct": 900,
            "images": 1000,
            "accuracy": correct / 1000,
            "keras_accuracy": 0.9,
            "bytes": 3 * gzipped,
            "bytes_gzip": gzipped,
            "latency": 25.5e-6,
            "speedup": 1.5,
        }

    files = [
        file("dense float", "tflite", 900, 200_000),
        file("dense int8", "tflite", 899, 70_000),
        file("sparse int8", "tflite", 895, 37_000),
        file("sparse int8", "onnx", 895, 40_000),
    ]
    history = {"accuracy": [0.8, 0.9], "val_accuracy": [0.7, 0.85]}
    zeros = {"sparse_int8.tflite": 2560, "sparse_int8.onnx": 2560}
    return {
        "title": "Fashion-MNIST: sparse int8 against dense float",
        "made": "2026-01-02T03:04:05+00:00",
        "command": "keras-sparse demo --seed 0",
        "seconds": 123.4,
        "judged": True,
        "data": {"source": "a folder <b>named</b> & co", "train": 10_000, "test": 1000},
        "fits": [
            {"name": "dense float", "epochs": 2, "steps": 20, "seconds": 9.0, "history": history, "updates": []},
            {
                "name": "sparse int8",
                "epochs": 2,
                "steps": 20,
                "seconds": 9.0,
                "history": history,
                "updates": [[0, 0.0], [5, 0.6], [10, 0.8]],
            },
        ],
        "files": files,
        "rounds": 200,
        "kernels": [
            {"name": "entry/kernel", "size": 360, "pruned": False, "zeros": dict.fromkeys(zeros, 0)},
            {"name": "pw1/kernel", "size": 3200, "pruned": True, "zeros": zeros},
        ],
        "native": {
            "file": "sparse_int8.tflite",
            "baseline": "dense_int8.tflite",
            "latency": 12.5e-6,
            "speedup": 1.75,
            "equal": 999,
            "images": 1000,
        },
        "bars": [
            {"text": "held & passed", "measured": "0.50 points below", "holds": True},
            {"text": "held and missed", "measured": "4 of 5 layers", "holds": False},
        ],
        "failed": [],
        "failures": [],
        "baseline": 0.9,
        "quantize_begin": 12,
        "recipe": {"format": 1, "rules": [{"rule": "Quantize", "begin": 0.6}]},
        "versions": {"keras-sparse": "0.1.0", "keras": "3.15.1"},
        "machine": {"processor": "A Processor (R)", "cores": 2, "system": "Linux x86_64", "python": "3.11.7"},
    }
