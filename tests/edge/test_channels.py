"""The border of ONNX graphs, NCHW, against planes: on this processor, and on emulated AArch64 where that is there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from .building import FLAGS, ROOT, compiler

SOURCES = [ROOT / "tests/edge/channels.c", ROOT / "edge/kernels/channels.c", ROOT / "edge/kernels/planes.c"]


def ran(words, program, *before):
    subprocess.run([*words, *FLAGS, "-O2", "-o", program, *SOURCES], check=True)
    done = subprocess.run([*before, program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout.endswith(", 0 differ\n"), done.stdout + done.stderr


def test_this_processor(tmp_path):
    ran(compiler(), tmp_path / "channels")


def test_arm64(tmp_path):
    gcc, qemu = (
        shutil.which("aarch64-linux-gnu-gcc"),
        shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static"),
    )
    if not gcc or not qemu:
        pytest.skip("there is no aarch64-linux-gnu-gcc, or no qemu-aarch64")
    ran([gcc, "-static"], tmp_path / "channels", qemu)
