"""An export that is killed: a few moments here, and 200 in `benchmarks/soak.py`."""

from __future__ import annotations

import pytest

from ..killed_export import KilledExport


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".onnx"])
def test_the_file_is_the_old_one_or_the_new_one(tmp_path, suffix):
    killed = KilledExport(tmp_path / "exports", suffix)
    assert killed.kill(0.5 * killed.seconds) in ("old", "new")
    assert killed.kill(0.001, "verified", over=False) in ("absent", "new")
    killed.export()  # asserts that nothing is left beside it
