"""Which versions made a file."""

from __future__ import annotations

from importlib import metadata

__version__ = "0.1.0"
PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx", "numpy")


def versions() -> dict[str, str]:
    """{package: version} of this package and of those that files depend on."""
    return {"keras-sparse": __version__, **{name: metadata.version(name) for name in PACKAGES}}
