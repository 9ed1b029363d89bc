"""Samples: arrays, lists and dictionaries from files, and every file that holds none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from keras_sparse.exporting import samples


def test_an_npy_file_is_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.uint8([[1], [2]]))
    found = samples.read(tmp_path / "x.npy")
    assert found.dtype == np.uint8 and found.tolist() == [[1], [2]]


def test_an_npz_file_is_a_dictionary_or_without_names_a_list(tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", b=[2.0], a=[1.0])
    np.savez_compressed(tmp_path / "plain.npz", *([float(i)] for i in range(12)))
    assert {name: each.tolist() for name, each in samples.read(tmp_path / "named.npz").items()} == {"b": [2], "a": [1]}
    assert [each.tolist() for each in samples.read(tmp_path / "plain.npz")] == [[i] for i in range(12)]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([{}], object), "Object arrays"),
        (np.array(["a"]), "array of numbers"),
        (np.zeros(()), "array of numbers"),
        (np.zeros((0, 3)), "array of numbers"),
        (np.array([1 + 1j]), "array of numbers"),
        (np.array([np.inf]), "NaN or infinite"),
        (np.array([[1.0, np.nan]]), "NaN or infinite"),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_that_are_no_samples(tmp_path: Path, array: np.ndarray, message: str, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    np.save(path, array, allow_pickle=True) if suffix == ".npy" else np.savez(path, x=array)
    with pytest.raises(ValueError, match=rf"x\{suffix}.*{message}"):
        samples.read(path)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04cut", b"\x80\x04K\x01."])
def test_damaged_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        samples.read(tmp_path / name)


def test_a_cut_and_an_empty_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(1000))
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:500])
    np.savez(tmp_path / "none.npz")
    for name in ("x.npz", "none.npz"):
        with pytest.raises(ValueError, match=name):
            samples.read(tmp_path / name)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        samples.read(tmp_path / "x.npy")
    with pytest.raises(ValueError, match=r"\.npy or \.npz"):
        samples.read(tmp_path / "x.csv")
