"""Fashion-MNIST, from the best copy that can be had: a folder, the system's, Keras's, or the one shipped here."""

from __future__ import annotations

import gzip
import math
import os
import socket
import struct
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SHAPE = (28, 28)
STEMS = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))

EMBEDDED = Path(__file__).parent / "data"
SYSTEM = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts the .gz files
# What Keras itself downloads. It is asked for first, because Keras alone would wait for minutes behind a firewall
# that drops packets: the socket timeout counts anew for each address of the host, and not at all for its name.
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/train-labels-idx1-ubyte.gz"
TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, eq=False)  # arrays have no single truth value
class Dataset:
    """Images and labels, split as the original data set is."""

    x_train: np.ndarray  # uint8 (n, 28, 28)
    y_train: np.ndarray  # uint8 (n,), 0 to 9
    x_test: np.ndarray  # uint8 (m, 28, 28)
    y_test: np.ndarray  # uint8 (m,), 0 to 9
    labels: tuple[str, ...]  # the ten names; label i is labels[i]
    source: str  # in words, which copy this is

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            _check_split(split, getattr(self, f"x_{split}"), getattr(self, f"y_{split}"))


def load(directory: str | Path | None = None, *, offline: bool = False) -> Dataset:
    """The data set, from the first of these that is there.

    1. `directory`, if given: the four IDX files, plain, `.gz` or `.xz`. No other copy is tried then.
    2. The system's copy, `/usr/share/datasets/fashion-mnist`.
    3. `keras.datasets.fashion_mnist`: its cache, else a download, which is given up after a few seconds without an
       answer. `offline=True`, or a non-empty environment variable `KERAS_SPARSE_OFFLINE`, leaves the download out.
    4. The embedded subset: 10,000 training and 2,000 test images.

    A copy that is there but broken is an error, not a reason to take the next one: `FileNotFoundError` or
    `ValueError`, naming the file.
    """
    if directory is not None:
        return _read(Path(directory), f"the folder {directory}")
    if SYSTEM.is_dir():
        return _read(SYSTEM, f"the system's copy in {SYSTEM}")
    cache = _keras_cache()
    if all((cache / f"{stem}.gz").is_file() for stem in STEMS):
        return _read(cache, "keras.datasets.fashion_mnist, cached")
    why = "no download, as asked"
    if not (offline or os.environ.get("KERAS_SPARSE_OFFLINE")):
        try:
            return _download()
        except ConnectionError as error:
            why = str(error)
    return _read(EMBEDDED, "embedded subset", why)


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file, plain, `.gz` or `.xz`; the whole file is checked before it is trusted.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
    uint32, then the bytes in row-major order.
    """
    content = _decompressed(path)
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(
            f"{path} must be an IDX file of unsigned bytes: it must start with 00 00 08. "
            f"Received: {content[:3].hex(' ') or 'an empty file'}"
        )
    rank = content[3]
    start = 4 + 4 * rank
    if rank == 0 or len(content) < start:
        raise ValueError(
            f"{path} must have a header with all of its dimensions. Received: {rank} dimensions in {len(content)} bytes"
        )
    shape = struct.unpack_from(f">{rank}I", content, 4)
    if len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} must hold {math.prod(shape):,} bytes after its header, for the shape {shape}. "
            f"Received: {len(content) - start:,} bytes"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _decompressed(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        if path.suffix == ".xz":
            import lzma  # some builds of Python lack it; only these files need it

            return lzma.decompress(path.read_bytes())
        return path.read_bytes()
    except ImportError as error:
        raise ValueError(f"{path} needs Python's lzma module, which this Python lacks") from error
    except Exception as error:  # gzip, zlib and lzma raise seven different types between them
        raise ValueError(f"{path} cannot be read: {error}") from error


def _read(folder: Path, source: str, *remarks: str) -> Dataset:
    arrays = [read_idx(_find(folder, stem)) for stem in STEMS]
    try:
        return _dataset(arrays, source, *remarks)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error


def _dataset(arrays: Sequence[np.ndarray], source: str, *remarks: str) -> Dataset:
    x_train, y_train, x_test, y_test = arrays
    counts = f"{len(x_train):,} training, {len(x_test):,} test images"
    source = f"{source} ({'; '.join((counts, *remarks))})"
    return Dataset(x_train, y_train, x_test, y_test, LABELS, source)


def _find(folder: Path, stem: str) -> Path:
    for suffix in ("", ".gz", ".xz"):
        path = folder / (stem + suffix)
        if path.is_file():
            return path
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} must be a folder with the IDX files of Fashion-MNIST; there is none")
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise FileNotFoundError(f"{folder} must hold {stem}, plain or with .gz or .xz. Received: {found}")


def _check_split(split: str, images: np.ndarray, labels: np.ndarray) -> None:
    for kind, array in (("images", images), ("labels", labels)):
        if array.dtype != np.uint8:
            raise ValueError(f"the {split} {kind} must be uint8. Received: {array.dtype}")
    if images.shape[1:] != IMAGE_SHAPE or len(images) == 0:
        raise ValueError(f"the {split} images must have the shape (n, 28, 28), n > 0. Received: {images.shape}")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"the {split} labels must have the shape ({len(images)},), one per image. Received: {labels.shape}"
        )
    if labels.max() >= len(LABELS):
        raise ValueError(f"the {split} labels must lie in 0 to 9. Received: {labels.max()}")


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "datasets" / "fashion-mnist"


def _download() -> Dataset:
    """Lets Keras download; `ConnectionError` if there is no network, or it fails on the way."""
    if (failure := _unreachable(ORIGIN)) is not None:
        raise ConnectionError(f"no download: {failure}")
    from keras.datasets import fashion_mnist

    try:
        with _socket_timeout(TIMEOUT):
            (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data()
    except Exception as error:
        # Keras turns a URLError into a bare Exception, known by its text alone.
        if isinstance(error, OSError | EOFError) or str(error).startswith("URL fetch failure"):
            raise ConnectionError(f"the download failed: {error}") from error
        raise
    return _dataset((x_train, y_train, x_test, y_test), "keras.datasets.fashion_mnist, downloaded")


def _unreachable(url: str) -> str | None:
    """Why `url` does not answer within TIMEOUT, or None if it does. Honours proxies, as Keras does."""
    outcome: list[str | None] = [f"no answer in {TIMEOUT:g} seconds"]

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=TIMEOUT).close()
            outcome[0] = None
        except Exception as error:  # whatever it is, there is no answer, and the text says why
            outcome[0] = str(getattr(error, "reason", error))

    # Only a thread bounds the look-up of the name as well; it is left to end by itself.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return outcome[0]


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
