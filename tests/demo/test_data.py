"""The data set: each copy in its turn, each fault named, and the embedded subset is what its README says."""

from __future__ import annotations

import gzip
import lzma
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from keras_sparse.demo import data


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_copy(folder: Path, n: int = 3, suffix: str = "", pack: Callable[[bytes], bytes] = bytes) -> Path:
    """A whole tiny copy of the data set: `n` training images and two test images."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in zip(data.STEMS, (n, n, 2, 2), strict=True):
        shape = (count, 28, 28) if "images" in stem else (count,)
        array = np.random.randint(0, 10, shape, np.uint8)
        (folder / (stem + suffix)).write_bytes(pack(idx(array)))
    return folder


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no copy of the data but the embedded one, free to ask a network that the test puts there."""
    monkeypatch.setattr(data, "SYSTEM", tmp_path / "system")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("KERAS_SPARSE_OFFLINE", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("the network was asked"))
    return tmp_path


class TestOrder:
    def test_a_given_folder_comes_first(self, nowhere: Path) -> None:
        write_copy(nowhere / "system", n=5)
        loaded = data.load(write_copy(nowhere / "mine", n=4))
        assert len(loaded.x_train) == 4
        assert loaded.source == f"the folder {nowhere / 'mine'} (4 training, 2 test images)"

    def test_then_the_copy_of_the_system(self, nowhere: Path) -> None:
        write_copy(nowhere / "system", n=5, suffix=".gz", pack=gzip.compress)
        write_copy(nowhere / "keras/datasets/fashion-mnist", n=6, suffix=".gz", pack=gzip.compress)
        loaded = data.load()
        assert len(loaded.x_train) == 5
        assert "system" in loaded.source

    def test_then_the_cache_of_keras_with_no_network(self, nowhere: Path) -> None:
        write_copy(nowhere / "keras/datasets/fashion-mnist", n=6, suffix=".gz", pack=gzip.compress)
        loaded = data.load()
        assert len(loaded.x_train) == 6
        assert loaded.source == "keras.datasets.fashion_mnist, cached (6 training, 2 test images)"

    @pytest.mark.parametrize("by", ["argument", "environment"])
    def test_offline_asks_no_network(self, nowhere: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if by == "environment":
            monkeypatch.setenv("KERAS_SPARSE_OFFLINE", "1")
        loaded = data.load(offline=by == "argument")
        assert loaded.source == "embedded subset (10,000 training, 2,000 test images; no download, as asked)"


class TestDownload:
    def test_no_network(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise urllib.error.URLError(socket.gaierror(-2, "Name or service not known"))

        monkeypatch.setattr(urllib.request, "urlopen", refuse)
        loaded = data.load()
        assert len(loaded.x_train) == 10_000
        assert "no download: [Errno -2] Name or service not known" in loaded.source

    def test_a_network_that_does_not_answer_is_given_up(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(data, "TIMEOUT", 0.2)
        monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: time.sleep(5))
        start = time.monotonic()
        loaded = data.load()
        assert time.monotonic() - start < 3
        assert "no answer in 0.2 seconds" in loaded.source

    @pytest.mark.parametrize(
        "error",
        [Exception("URL fetch failure on x: None -- timed out"), TimeoutError("timed out"), EOFError("cut off")],
    )
    def test_a_download_that_breaks_off(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        self.with_keras(monkeypatch, error)
        loaded = data.load()
        assert loaded.source.startswith("embedded subset (10,000 training, 2,000 test images; the download failed")
        assert str(error) in loaded.source
        assert socket.getdefaulttimeout() is None

    def test_any_other_error_of_keras_is_not_hidden(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.with_keras(monkeypatch, RuntimeError("a bug"))
        with pytest.raises(RuntimeError, match="a bug"):
            data.load()

    def test_a_download(self, nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        images, labels = np.zeros((7, 28, 28), np.uint8), np.zeros(7, np.uint8)
        self.with_keras(monkeypatch, ((images, labels), (images, labels)))
        loaded = data.load()
        assert loaded.source == "keras.datasets.fashion_mnist, downloaded (7 training, 7 test images)"

    @staticmethod
    def with_keras(monkeypatch: pytest.MonkeyPatch, outcome: object) -> None:
        """The network answers, and `keras.datasets.fashion_mnist.load_data` gives or raises `outcome`."""
        import keras

        def load_data() -> object:
            assert socket.getdefaulttimeout() == data.TIMEOUT
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(data, "_unreachable", lambda url: None)
        monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", load_data)


class TestFaults:
    @pytest.mark.parametrize("stem", data.STEMS)
    def test_a_missing_file_is_named(self, tmp_path: Path, stem: str) -> None:
        (write_copy(tmp_path) / stem).unlink()
        with pytest.raises(FileNotFoundError, match=f"must hold {stem}.* Received: .*ubyte"):
            data.load(tmp_path)

    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"none/here must be a folder"):
            data.load(tmp_path / "none" / "here")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "must start with 00 00 08. Received: an empty file"),
            (b"PK\x03\x04", "must start with 00 00 08. Received: 50 4b 03"),
            (b"\x00\x00\x0d\x01" + b"\x00\x00\x00\x00", "must start with 00 00 08"),
            (b"\x00\x00\x08\x00", "0 dimensions in 4 bytes"),
            (b"\x00\x00\x08\x03" + b"\x00" * 11, "3 dimensions in 15 bytes"),
            (idx(np.zeros((2, 28, 28), np.uint8))[:-1], "must hold 1,568 bytes.*Received: 1,567 bytes"),
            (idx(np.zeros((2, 28, 28), np.uint8)) + b"\x00", "must hold 1,568 bytes.*Received: 1,569 bytes"),
            (b"\x00\x00\x08\x03" + b"\xff" * 12, "must hold 79,228,.*Received: 0 bytes"),
            (idx(np.zeros((2, 32, 32), np.uint8)), r"train images must have the shape .* \(2, 32, 32\)"),
            (idx(np.zeros((0, 28, 28), np.uint8)), r"train images must have the shape .* \(0, 28, 28\)"),
            (idx(np.zeros((2, 28, 28), np.uint8)), r"train labels must have the shape \(2,\).* \(3,\)"),
        ],
    )
    def test_a_bad_images_file(self, tmp_path: Path, content: bytes, message: str) -> None:
        (write_copy(tmp_path) / "train-images-idx3-ubyte").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            data.load(tmp_path)

    def test_a_label_out_of_range(self, tmp_path: Path) -> None:
        (write_copy(tmp_path) / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([3, 10], np.uint8)))
        with pytest.raises(ValueError, match=r"test labels must lie in 0 to 9\. Received: 10"):
            data.load(tmp_path)

    @pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
    def test_a_cut_off_compressed_file(self, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
        path = write_copy(tmp_path, suffix=suffix, pack=pack) / f"train-images-idx3-ubyte{suffix}"
        assert len(data.load(tmp_path).x_train) == 3
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ValueError, match=f"ubyte{suffix} cannot be read"):
            data.load(tmp_path)

    def test_a_broken_copy_of_the_system_is_not_passed_over(self, nowhere: Path) -> None:
        (write_copy(nowhere / "system") / "t10k-labels-idx1-ubyte").unlink()
        with pytest.raises(FileNotFoundError, match="t10k-labels"):
            data.load()


def test_read_idx_byte_by_byte(tmp_path: Path) -> None:
    path = tmp_path / "array"
    path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 11, 12, 20, 21, 255]))
    assert data.read_idx(path).tolist() == [[10, 11, 12], [20, 21, 255]]


class TestEmbedded:
    def test_it_is_balanced_and_whole(self, nowhere: Path) -> None:
        loaded = data.load(offline=True)
        assert loaded.x_train.shape == (10_000, 28, 28)
        assert loaded.x_test.shape == (2_000, 28, 28)
        assert loaded.x_train.dtype == loaded.y_train.dtype == np.uint8
        assert np.bincount(loaded.y_train).tolist() == [1_000] * 10
        assert np.bincount(loaded.y_test).tolist() == [200] * 10
        assert len(loaded.labels) == 10

    def test_it_ships_its_licence_and_stays_small(self) -> None:
        assert "2017 Zalando SE" in (data.EMBEDDED / "LICENSE").read_text()
        assert sum(path.stat().st_size for path in data.EMBEDDED.iterdir()) < 5_000_000

    def test_it_is_the_first_of_each_class_in_the_original_order(self, nowhere: Path, shared: Path) -> None:
        folder = shared / "data" / "fashion-mnist"
        if not folder.is_dir():
            pytest.skip("the full data set is not in the folder shared beside the checkout")
        full, subset = data.load(folder), data.load(offline=True)
        assert len(full.x_train) == 60_000
        for split, each in (("train", 1_000), ("test", 200)):
            seen = [0] * 10
            keep = []
            for i, label in enumerate(getattr(full, f"y_{split}")):
                seen[label] += 1
                if seen[label] <= each:
                    keep.append(i)
            np.testing.assert_array_equal(getattr(subset, f"x_{split}"), getattr(full, f"x_{split}")[keep])
            np.testing.assert_array_equal(getattr(subset, f"y_{split}"), getattr(full, f"y_{split}")[keep])
