"""Makes the Python code blocks of README.md and docs/*.md tests: `pytest README.md docs`.

The blocks of one file run in order and share their names, in a temporary working directory.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported
ROOT = Path(__file__).resolve().parent


def _enter(namespace: dict[str, Any]) -> None:
    namespace["_back"] = os.getcwd()
    namespace["_folder"] = tempfile.TemporaryDirectory()
    os.chdir(namespace["_folder"].name)


def _leave(namespace: dict[str, Any]) -> None:
    os.chdir(namespace["_back"])
    namespace["_folder"].cleanup()


_documents = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()], pattern="*.md", setup=_enter, teardown=_leave
).pytest()


def pytest_collect_file(file_path: Path, parent: Any) -> Any:
    """Other Markdown files, like the README of a data set, hold code to be read, not run."""
    if file_path == ROOT / "README.md" or file_path.parent == ROOT / "docs":
        return _documents(file_path, parent)
    return None
