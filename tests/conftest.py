"""What every test has: a quiet TensorFlow, fixed seeds, and the folder of shared data where there is one."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported
os.environ.setdefault("KERAS_SPARSE_OFFLINE", "1")  # no test waits for a download

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
SEED = 20171

settings.register_profile("local", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(autouse=True)
def seeds() -> None:
    """The same random numbers in each test, whatever ran before it. Keras is seeded but not imported for it."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(SEED)
    else:
        random.seed(SEED)
        np.random.seed(SEED)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the checkout with data too large for it; tests that need it are skipped elsewhere."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("there is no folder shared beside the checkout")
    return folder
