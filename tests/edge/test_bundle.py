"""The archive: what the reader takes, and everything that it must refuse without harm."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import stat
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_sparse_edge.bundle as reader
import pytest
from keras_sparse_edge import Bundle, BundleError
from keras_sparse_edge.manifest import Manifest


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = 8) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as zipped:
        warnings.simplefilter("ignore", UserWarning)  # a duplicate name is what a test wants
        for name, data in members:
            zipped.writestr(name, data, method)
    return buffer.getvalue()


@pytest.fixture
def members(document: dict[str, Any], stub: bytes) -> dict[str, bytes]:
    return {"manifest.json": json.dumps(document).encode(), "model.tflite": stub}


@pytest.fixture
def good(members: dict[str, bytes]) -> bytes:
    return archive(*members.items())


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], tuple[Manifest, bytes]]:
    def read(data: bytes) -> tuple[Manifest, bytes]:
        path = tmp_path / "b.ksb"
        path.write_bytes(data)
        return reader.read_bundle(path)

    return read


Read = Callable[[bytes], tuple[Manifest, bytes]]


def patched(data: bytes, name: str, **fields: int) -> bytes:
    """`data` with header fields of the member changed, in its local and its central header."""
    # offset in the local header, in the central one, width
    places = {"flags": (6, 8, "<H"), "method": (8, 10, "<H"), "crc": (14, 16, "<L")}
    places["size"] = (22, 24, "<L")
    # the name follows the fixed parts of both headers: 30 and 46 bytes
    local = data.index(name.encode()) - 30
    central = data.index(name.encode(), data.index(b"PK\1\2")) - 46
    out = bytearray(data)
    for field, value in fields.items():
        in_local, in_central, width = places[field]
        struct.pack_into(width, out, local + in_local, value)
        struct.pack_into(width, out, central + in_central, value)
    return bytes(out)


def test_good(read: Read, good: bytes, document: dict[str, Any], stub: bytes) -> None:
    manifest, model = read(good)
    assert manifest.document == document
    assert model == stub


def test_a_model_is_not_inflated_beyond_the_size_asked_for(
    tmp_path: Path, members: dict[str, bytes], document: dict[str, Any]
) -> None:
    """256 kB of file for 256 MiB of model: refused before any of it is inflated."""
    model = bytes(2**28)
    document["members"]["model.tflite"] = {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
    data = archive(("manifest.json", json.dumps(document).encode()), ("model.tflite", model))
    del model
    (tmp_path / "b.ksb").write_bytes(data)
    tracemalloc.start()
    with pytest.raises(BundleError, match="at most 1000000 bytes; got 268435456"):
        reader.read_bundle(tmp_path / "b.ksb", max_size=10**6)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_open_reads(tmp_path: Path, read: Read, good: bytes) -> None:
    assert read(good)[0] == Bundle.open(tmp_path / "b.ksb").manifest


def test_a_stored_bundle_is_read(read: Read, members: dict[str, bytes], stub: bytes) -> None:
    assert read(archive(*members.items(), method=zipfile.ZIP_STORED))[1] == stub


@pytest.mark.parametrize(
    "name",
    [
        "../model.tflite",
        "/model.tflite",
        "..\\model.tflite",
        "C:\\model.tflite",
        "sub/model.tflite",
        "./model.tflite",
        "model.tflite/",
        "sub/",
        "MODEL.TFLITE",
        "model.tflite\0.txt",
        "manifest.json ",
        "notes.txt",
        "..",
        "\u202etxt",
    ],
)
def test_other_names_are_refused(tmp_path: Path, read: Read, members: dict[str, bytes], name: str) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # as it is: ZipInfo's constructor would cut it at NUL
    with pytest.raises(BundleError, match=r"members must be manifest.json, model.tflite; got"):
        read(archive(*members.items(), (info, b"x")))
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.ksb"]


@pytest.mark.parametrize("name", reader.MEMBER_LIMITS)
def test_every_name_comes_once(read: Read, members: dict[str, bytes], name: str) -> None:
    with pytest.raises(BundleError, match=f"{name}' comes twice"):
        read(archive(*members.items(), (name, members[name])))
    del members[name]
    with pytest.raises(BundleError, match=f"{name}' is missing"):
        read(archive(*members.items()))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO])
def test_what_is_no_plain_file_is_refused(read: Read, kind: int) -> None:
    info = zipfile.ZipInfo("model.tflite")
    info.external_attr = (kind | 0o777) << 16
    with pytest.raises(BundleError, match="must be a plain file"):
        read(archive(("manifest.json", b"{}"), (info, b"/etc/passwd")))


def test_an_encrypted_member_is_refused(read: Read, good: bytes) -> None:
    with pytest.raises(BundleError, match="must not be encrypted"):
        read(patched(good, "model.tflite", flags=1))


@pytest.mark.parametrize("method", [9, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 99])
def test_other_compressions_are_refused(read: Read, good: bytes, method: int) -> None:
    with pytest.raises(BundleError, match=f"stored or deflated; got the method {method}"):
        read(patched(good, "model.tflite", method=method))


@pytest.mark.parametrize("name", reader.MEMBER_LIMITS)
def test_a_size_over_the_limit_is_refused(read: Read, good: bytes, name: str) -> None:
    limit = reader.MEMBER_LIMITS[name]
    with pytest.raises(BundleError, match=f"at most {limit} bytes; got {limit + 1}"):
        read(patched(good, name, size=limit + 1))


@pytest.mark.parametrize("name", reader.MEMBER_LIMITS)
@pytest.mark.parametrize("forged_crc", [False, True])
def test_a_bomb_behind_a_lying_header_costs_no_memory(
    read: Read, document: dict[str, Any], name: str, forged_crc: bool
) -> None:
    """100 MiB of zeros, in a member whose headers say 100 bytes."""
    small = bytes(100)
    digest = hashlib.sha256(small).hexdigest()
    document["members"]["model.tflite"] = {"sha256": digest, "bytes": len(small)}
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(bomb.compress(bytes(2**20)) for _ in range(100)) + bomb.flush()
    members = {"manifest.json": json.dumps(document).encode(), "model.tflite": small, name: packed}
    crc = zlib.crc32(small) if forged_crc else 1
    data = archive(*members.items(), method=zipfile.ZIP_STORED)
    data = patched(data, name, method=zipfile.ZIP_DEFLATED, size=len(small), crc=crc)
    if name == "manifest.json":
        data = patched(data, "model.tflite", method=zipfile.ZIP_STORED)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=r"declares 100 bytes; got more|Bad CRC-32"):
            read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2**20


def test_a_member_shorter_than_it_declares_is_refused(read: Read, document: dict[str, Any], stub: bytes) -> None:
    size = len(stub) + 1
    document["members"]["model.tflite"]["bytes"] = size
    data = archive(("manifest.json", json.dumps(document).encode()), ("model.tflite", stub))
    with pytest.raises(BundleError, match=f"declares {size} bytes; got {size - 1}"):
        read(patched(data, "model.tflite", size=size))


def test_what_the_manifest_says_must_hold(read: Read, members: dict[str, bytes]) -> None:
    size = len(members["model.tflite"])
    members["model.tflite"] = b"?" * size
    with pytest.raises(BundleError, match=r"model\.tflite must have the SHA-256"):
        read(archive(*members.items()))
    members["model.tflite"] = b"?"
    with pytest.raises(BundleError, match=f"must have {size} bytes, .* got 1$"):
        read(archive(*members.items()))


def test_a_wrong_crc_is_refused(read: Read, good: bytes) -> None:
    with pytest.raises(BundleError, match="Bad CRC-32"):
        read(patched(good, "model.tflite", crc=7))


def test_every_truncation_is_refused(read: Read, good: bytes) -> None:
    for size in range(len(good)):
        with pytest.raises(BundleError):
            read(good[:size])


@pytest.mark.parametrize("change", [lambda b: b"MZ" + b, lambda b: b + b"x", lambda b: b + b])
def test_bytes_around_the_zip_are_refused(read: Read, good: bytes, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(BundleError, match=r"leading or missing bytes|no zip end record"):
        read(change(good))


def test_zip64_is_refused(read: Read, good: bytes) -> None:
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    with pytest.raises(BundleError, match="must not be a zip64 archive"):
        read(good[:-22] + locator + good[-22:])


def test_a_directory_of_many_entries_is_not_parsed(read: Read) -> None:
    with pytest.raises(BundleError, match="zip directory has at most 65536 bytes"):
        read(archive(*((f"{i}", b"") for i in range(2000))))


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "b.ksb"
    with open(path, "wb") as file:
        file.truncate(reader.MAX_BUNDLE_BYTES + 1)  # sparse: takes no disk
    with pytest.raises(BundleError, match="a bundle has at most"):
        reader.read_bundle(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="must be a regular file"):
        reader.read_bundle(tmp_path)
    with pytest.raises(FileNotFoundError):
        reader.read_bundle(tmp_path / "none.ksb")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ksb")
    with pytest.raises(BundleError, match="must be a regular file"):
        reader.read_bundle(tmp_path / "pipe.ksb")


def test_damage_is_refused_or_harmless(read: Read, good: bytes) -> None:
    """Whichever byte changes, there is a BundleError, or the content is what it was."""
    original = read(good)
    dice = random.Random(0)
    refused = 0
    for at in range(len(good)):
        for value in {dice.randrange(256), good[at] ^ 1, 0, 255} - {good[at]}:
            try:
                assert read(good[:at] + bytes([value]) + good[at + 1 :]) == original
            except BundleError:
                refused += 1
    assert refused > len(good)
