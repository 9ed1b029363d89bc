"""The fuzzer of the execution provider, over a number of cases that are always the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .building import ROOT
from .native import native


@pytest.mark.slow
@pytest.mark.skipif(not native.LIBRARY.is_file(), reason="the native library is not built: setup.py build_ext")
def test_the_fuzzer_finds_nothing():
    command = [sys.executable, str(ROOT / "tests" / "edge" / "fuzz_provider.py"), "--runs", "100", "--seed", "3"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    cases, accepted, claimed = (int(part.split()[0]) for part in ran.stdout.splitlines()[-1].split(", ")[:3])
    assert cases == 100 and accepted > 30 and claimed > 30
