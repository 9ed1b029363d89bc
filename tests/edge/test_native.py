"""The delegate's options, and what is said where it cannot be had."""

from __future__ import annotations

import pytest
from keras_sparse_edge import native

built = pytest.mark.skipif(not native.LIBRARY.is_file(), reason="the native library is not built")


@built
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads: a number from 1 to 65 is required. Received: 0"),
        ({"threads": "two"}, "Received: two"),
        ({"threshold": 1.5}, "threshold: a fraction of zero blocks from 0 to 1 is required. Received: 1.5"),
        ({"threshold": "nan"}, "Received: nan"),
        ({"kernels": "mmx"}, "kernels: this processor has .*plain. Received: mmx"),
        ({"speed": "high"}, "an option must be kernels, threads or threshold. Received: speed"),
    ],
)
def test_an_unknown_option_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        native.delegate(**options)


@built
def test_a_delegate_can_be_had():
    native.delegate(kernels="plain", threads=2, threshold=0.8)
    assert native.LIBRARY.stat().st_size < 300_000


def test_without_the_library_the_error_says_how_to_build_it(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "libkeras_sparse.so")
    native.available.cache_clear()
    try:
        assert not native.available()
        with pytest.raises(RuntimeError, match=r"build_ext --inplace.*Received: no file .*libkeras_sparse.so"):
            native.delegate()
    finally:
        native.available.cache_clear()


def test_a_library_that_is_none_is_an_error(monkeypatch, tmp_path):
    path = tmp_path / "libkeras_sparse.so"
    path.write_bytes(b"not a library")
    monkeypatch.setattr(native, "LIBRARY", path)
    with pytest.raises(RuntimeError, match=r"build them again. Received: .*libkeras_sparse.so"):
        native.delegate()
