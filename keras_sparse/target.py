"""What each runtime is called, and which files it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A runtime: its name, and the suffix of its files."""

    name: str
    suffix: str


TARGETS = {target.name: target for target in (Target("litert", ".tflite"), Target("onnxruntime", ".onnx"))}


def find(path: str | Path, name: str | None = None) -> Target:
    """The target of that name, or the one whose files end as `path` does.

    >>> find("model.onnx").name
    'onnxruntime'
    """
    suffix = Path(path).suffix
    if name is not None:
        if name not in TARGETS:
            raise ValueError(f"Unknown target. Known ones: {sorted(TARGETS)}. Received: target={name!r}")
        if TARGETS[name].suffix != suffix:
            raise ValueError(f"Files for {name} end in {TARGETS[name].suffix}. Received: {path}")
        return TARGETS[name]
    for target in TARGETS.values():
        if target.suffix == suffix:
            return target
    raise ValueError(f"A file ending in one of {[t.suffix for t in TARGETS.values()]} was expected. Received: {path}")
