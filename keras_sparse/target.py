"""Finds targets: by name, or by the files that they take. `keras_sparse/targets/` has one file for each runtime."""

from __future__ import annotations

from pathlib import Path

from keras_sparse.targets.contract import Target
from keras_sparse.targets.litert import LiteRT, LiteRTArm64, LiteRTx86
from keras_sparse.targets.litert_native import LiteRTNative
from keras_sparse.targets.onnxruntime import ONNXRuntime
from keras_sparse.targets.openvino import OpenVINO
from keras_sparse.targets.packed import Packed
from keras_sparse.targets.tensorrt import TensorRT

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        LiteRT(),
        LiteRTx86(),
        LiteRTArm64(),
        LiteRTNative(),
        ONNXRuntime(),
        TensorRT(),
        OpenVINO(),
        Packed(),
    )
}
"""{name: target}. Where several take files of one suffix, the first one is the default."""

SUFFIXES = list(dict.fromkeys(target.suffix for target in TARGETS.values() if target.suffix is not None))


def named(name: str) -> Target:
    """The target of that name; an unknown one is refused with those that are known.

    >>> named("tensorrt").suffix
    '.onnx'
    """
    if name not in TARGETS:
        raise ValueError(f"Unknown target. Known ones: {sorted(TARGETS)}. Received: target={name!r}")
    return TARGETS[name]


def find(path: str | Path, name: str | None = None) -> Target:
    """The target of that name, or the first one whose files end as `path` does: the one to write or run that file for.

    >>> find("model.onnx").name, find("model.tflite", "litert-arm64").name
    ('onnxruntime', 'litert-arm64')
    """
    suffix = Path(path).suffix
    if name is not None:
        target = named(name)
        if target.suffix is None:
            raise ValueError(f"{name} has no files of its own to write: {target.about}. Received: {path}")
        if target.suffix != suffix:
            raise ValueError(f"Files for {name} end in {target.suffix}. Received: {path}")
        return target
    for target in TARGETS.values():
        if target.suffix == suffix:
            return target
    raise ValueError(f"A file ending in one of {SUFFIXES} was expected. Received: {path}")
