"""The fuzzer of the packed file's reader, for a bounded number of runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from keras_sparse_edge.packed import unpack_bytes

from .samples import everything

HERE = Path(__file__).parent


def test_the_seed_is_a_packed_file_of_everything() -> None:
    assert unpack_bytes((HERE / "packed_seed.pack").read_bytes()) == everything()[1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "fuzz_packed.py"), "-runs=2000", "-seed=1", "-max_len=4096"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "Done 2000 runs" in ran.stderr
