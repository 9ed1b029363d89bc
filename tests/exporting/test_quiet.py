from __future__ import annotations

import os
import sys

import pytest

from keras_sparse.exporting.quiet import native_notices_held


def test_notices_are_dropped_and_all_else_is_passed_on(capfd):
    with pytest.raises(ValueError, match="kept"), native_notices_held():
        os.write(2, b"I0000 00:00:1.1 2 port.cc:1] a notice\nE0000 00:00:1.1 2 port.cc:1] an error\nmine\n")
        print("python's", file=sys.stderr)
        raise ValueError("kept")
    assert sorted(capfd.readouterr().err.splitlines()) == ["E0000 00:00:1.1 2 port.cc:1] an error", "mine", "python's"]
