"""LiteRT on another processor."""

from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.runtime import emulated, isolated


@pytest.fixture
def arm64(shared, monkeypatch):
    monkeypatch.setenv(emulated.VARIABLE, str(shared / "tools/arm64run"))


@pytest.mark.slow
@pytest.mark.parametrize("delegates", [True, False])
def test_a_file_computes_the_same_on_aarch64(arm64, files, delegates):
    x = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    ours, theirs = (run(files[".tflite"], [x], delegates=delegates)[0] for run in (isolated.run, emulated.run))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_what_is_refused_there_says_so(arm64, tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"not a file")
    with pytest.raises(isolated.RuntimeFailure, match=r"On emulated AArch64, .*m.tflite was refused by its runtime"):
        emulated.run(tmp_path / "m.tflite", [np.zeros((1, 2), np.float32)])


def test_without_a_command_there_is_none(monkeypatch):
    monkeypatch.delenv(emulated.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    assert emulated.command() is None
    monkeypatch.setenv(emulated.VARIABLE, "/somewhere/arm64run")
    assert emulated.command() == "/somewhere/arm64run"


def test_a_command_that_does_not_emulate_is_named():
    for command in ("/bin/true", "/nonexistent/arm64run"):
        with pytest.raises(RuntimeError, match=f"{command}.* runs no script on AArch64"):
            emulated.works(command)
