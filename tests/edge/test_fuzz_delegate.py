"""The fuzzer of the delegate, for a bounded time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .building import ROOT
from .native import native


@pytest.mark.slow
@pytest.mark.skipif(not native.LIBRARY.is_file(), reason="the native library is not built: setup.py build_ext")
def test_the_fuzzer_finds_nothing():
    command = [sys.executable, str(ROOT / "tests" / "edge" / "fuzz_delegate.py"), "--seconds", "8", "--seed", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    cases, accepted = (int(part.split()[0]) for part in ran.stdout.splitlines()[-1].split(", ")[:2])
    assert cases > 20 and accepted > 5
