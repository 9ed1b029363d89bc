"""The packages that setup.cfg lists are those that there are."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_package_is_installed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found = set()
    for folder in (ROOT / "keras_sparse", ROOT / "edge" / "keras_sparse_edge"):
        for path in folder.rglob("__init__.py"):
            found.add(".".join(path.parent.relative_to(folder.parent).parts))
    assert sorted(setup["options"]["packages"].split()) == sorted(found)
    assert setup["options"]["package_dir"].split() == ["keras_sparse_edge", "=", "edge/keras_sparse_edge"]
