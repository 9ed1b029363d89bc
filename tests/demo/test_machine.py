"""The machine is named as the system names it."""

from __future__ import annotations

import json
import os

from keras_sparse.demo.machine import machine


def test_it_says_what_it_runs_on() -> None:
    found = machine()
    assert 1 <= found["cores"] <= os.cpu_count()
    assert all(found.values())
    assert json.loads(json.dumps(found)) == found
