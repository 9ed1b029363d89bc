"""The archive of a bundle: headers are checked before data is read, nothing is put on disk."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from typing import BinaryIO

from keras_sparse_edge.errors import BundleError, shown
from keras_sparse_edge.manifest import MODEL, Manifest, parse_manifest

MANIFEST = "manifest.json"
MEMBER_LIMITS = {MANIFEST: 2**20, MODEL: 256 * 2**20}  # bytes, inflated
MAX_BUNDLE_BYTES = 258 * 2**20  # on disk: both members, were they incompressible
MAX_DIRECTORY_BYTES = 2**16

_END = struct.Struct("<4s4H2LH")  # the zip's end record
_ZIP64_LOCATOR_BYTES = 20
_ENCRYPTED = 0x1
# what zipfile and zlib raise on hostile bytes, beside ValueError
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
)


def read_bundle(path: str | os.PathLike[str], max_size: int = MEMBER_LIMITS[MODEL]) -> tuple[Manifest, bytes]:
    """The validated manifest and the model of the bundle at `path`.

    Raises BundleError if the file breaks FORMAT.md or its model has more than `max_size` bytes, before it is inflated;
    OSError if the file cannot be read.
    """
    # looked at before opening: to open a pipe would wait for ever
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise BundleError("a bundle must be a regular file")
    with open(path, "rb") as file:
        _check_end(file)
        try:
            with zipfile.ZipFile(file) as archive:
                return _read_members(archive, max_size)
        except BundleError:
            raise
        except MemoryError as error:
            raise BundleError("the bundle's members do not fit into memory") from error
        except (*_ZIP_ERRORS, ValueError) as error:
            raise BundleError(f"not a readable zip: {error}") from error


def _check_end(file: BinaryIO) -> None:
    """Bound what zipfile will parse: it reads the whole central directory into memory."""
    size = file.seek(0, os.SEEK_END)
    if size > MAX_BUNDLE_BYTES:
        raise BundleError(f"a bundle has at most {MAX_BUNDLE_BYTES} bytes; got {size}")
    tail_bytes = min(size, _END.size + _ZIP64_LOCATOR_BYTES)
    file.seek(size - tail_bytes)
    tail = file.read(tail_bytes)
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\5\6":
        raise BundleError("not a bundle, or cut: the last 22 bytes are no zip end record")
    if tail.startswith(b"PK\6\7"):
        raise BundleError("a bundle must not be a zip64 archive")
    _, disk, first_disk, _, _, directory, offset, comment = _END.unpack(tail[-_END.size :])
    if disk or first_disk or comment or offset + directory + _END.size != size:
        raise BundleError("a bundle must be one zip without comment, leading or missing bytes")
    if directory > MAX_DIRECTORY_BYTES:
        raise BundleError(f"a bundle's zip directory has at most {MAX_DIRECTORY_BYTES} bytes; got {directory}")


def _read_members(archive: zipfile.ZipFile, max_size: int) -> tuple[Manifest, bytes]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        _check_header(info)
        if info.filename in members:
            raise BundleError(f"member {info.filename!r} comes twice")
        members[info.filename] = info
    for name in MEMBER_LIMITS:
        if name not in members:
            raise BundleError(f"member {name!r} is missing")
    if members[MODEL].file_size > max_size:
        raise BundleError(f"{MODEL} must have at most {max_size} bytes; got {members[MODEL].file_size}")
    manifest = parse_manifest(_read(archive, members[MANIFEST]))
    required = manifest.members[MODEL]
    if members[MODEL].file_size != required.bytes:
        raise BundleError(
            f"{MODEL} must have {required.bytes} bytes, as the manifest says; got {members[MODEL].file_size}"
        )
    model = _read(archive, members[MODEL])
    digest = hashlib.sha256(model).hexdigest()
    if digest != required.sha256:
        raise BundleError(f"{MODEL} must have the SHA-256 {required.sha256}, as the manifest says; got {digest}")
    return manifest, model


def _check_header(info: zipfile.ZipInfo) -> None:
    # zipfile cuts names at NUL and may rewrite separators, so both forms must be the allowed one
    name = info.orig_filename
    if name not in MEMBER_LIMITS or info.filename != name:
        raise BundleError(f"members must be {', '.join(MEMBER_LIMITS)}; got {shown(name)}")
    if info.flag_bits & _ENCRYPTED:
        raise BundleError(f"member {name!r} must not be encrypted")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise BundleError(f"member {name!r} must be a plain file; got the mode {mode:o}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BundleError(f"member {name!r} must be stored or deflated; got the method {info.compress_type}")
    limit = MEMBER_LIMITS[name]
    if info.file_size > limit:
        raise BundleError(f"member {name!r} has at most {limit} bytes; got {info.file_size}")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The member, at most one byte over the size that its header declares."""
    declared = info.file_size
    # zipfile stops in silence at file_size; with one more, a header that says too little is seen
    info.file_size = declared + 1
    with archive.open(info) as member:
        data = member.read(declared + 1)
    if len(data) != declared:
        came = "more" if len(data) > declared else len(data)
        raise BundleError(f"member {info.filename!r} declares {declared} bytes; got {came}")
    return data
