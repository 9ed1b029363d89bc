"""The native library on emulated AArch64: compiled here by the other processor's compiler, run beside XNNPACK there."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import tempfile
from pathlib import Path

from keras_sparse.runtime import emulated

COMPILER = "aarch64-linux-gnu-gcc"
BUILD = Path(__file__).resolve().parents[2] / "edge" / "build_library.py"
SCRIPT = Path(__file__).with_name("arm64_script.py")


def missing():
    """What there is not, or None."""
    if shutil.which(COMPILER) is None:
        return f"there is no {COMPILER}, Debian's gcc-aarch64-linux-gnu"
    if emulated.command() is None:
        return f"there is no emulation of AArch64: {emulated.COMMAND} on the path, or {emulated.VARIABLE}"
    return None


def compiled(folder):
    """The library for AArch64."""
    library = Path(folder, "libkeras_sparse.so")
    command = runpy.run_path(str(BUILD))["command"](library, COMPILER)
    subprocess.run(command, check=True, cwd=BUILD.parent)
    return library


def compared(files, library, ways):
    """What one emulated run says of each file: {"claimed": partitions, "spread": different bytes of XNNPACK's outputs,
    "wrong": [bytes that differ from XNNPACK's, for each way]}. A way is the delegate's options."""
    with tempfile.TemporaryDirectory() as folder:
        models, asked = Path(folder, "models"), Path(folder, "asked.json")
        models.mkdir()
        for name, file in files.items():
            (models / f"{name}.tflite").write_bytes(file)
        asked.write_text(json.dumps({"library": library.name, "names": list(files), "ways": ways}))
        puts = [part for path in (models, asked, library) for part in ("--put", str(path))]
        words = [emulated.command(), *puts, "--", str(SCRIPT)]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.split("COMPARED")[1])
