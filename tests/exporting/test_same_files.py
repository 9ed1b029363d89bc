"""What is written depends on nothing but what it is made from: two processes write the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "same_files.py"


@pytest.mark.slow
def test_every_kind_of_file_is_the_same_from_two_processes(tmp_path: Path) -> None:
    folders = [tmp_path / hashes for hashes in ("1", "2")]
    for folder in folders:
        folder.mkdir()
        environment = os.environ | {"PYTHONHASHSEED": folder.name}
        done = subprocess.run(
            [sys.executable, SCRIPT, folder], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert len(first) == 4 * 2 * 3 + 6 and first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
