"""Runs pytest with the parts of keras_sparse that need no TensorFlow: sanitizers stop at what TensorFlow does.

python tests/edge/without_package.py ARGUMENTS_OF_PYTEST
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def install() -> None:
    """Puts a package without its top module in the place of keras_sparse."""
    sys.path[:0] = [str(ROOT), str(ROOT / "edge")]
    package = types.ModuleType("keras_sparse")
    package.__path__ = [str(ROOT / "keras_sparse")]
    sys.modules["keras_sparse"] = package


if __name__ == "__main__":
    install()
    import pytest

    raise SystemExit(pytest.main(sys.argv[1:]))
