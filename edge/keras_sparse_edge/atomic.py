"""A file is written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

REFUSED = {
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
    stat.S_IFIFO: "a FIFO or pipe",
    stat.S_IFSOCK: "a socket",
}
"""What is not replaced by a file, beside folders."""

UNSUPPORTED = (errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system says that has no locks, or cannot flush a folder."""


def write_atomically(path: str | os.PathLike[str], data: bytes | bytearray) -> None:
    """Write `data` to `path`: a reader, or a crash, sees the old file or the new one, never a part.

    A temporary file in the same folder is flushed to disk and renamed over the old file, and the folder is flushed.

    - `path` is a plain file or nothing yet. A symlink stays, and the file that it leads to is replaced, or made. A
      folder, a device, a FIFO, a socket and a stream that is open (/dev/stdout) are refused: none of them can be
      written whole or not at all.
    - A file that is replaced keeps its permissions, owner and group. Where only the owner cannot be kept, it is the
      writer's; where the group cannot either, it may do what all others may. A new file has the permissions that
      `open` gives. Until it is whole, the temporary file is its writer's alone. Other hard links keep the old content.
    - The folder decides who may write: it must be readable and writable, the old file need not be.
    - On failure the old file is as it was, and no temporary file is left.
    - A process that is killed leaves its temporary file, and the next write to the same path removes it. A writer
      holds a lock on its file, which ends with the process: what is not locked is left over. Where a file system
      has no locks, such files stay. (Files without a name, O_TMPFILE, would not need this, but cannot be renamed over
      a file, and not every file system has them.)

    Raises:
        OSError: the file cannot be written; it names `path`. If it came from flushing the folder after the rename,
            which only a failing disk causes, the new file is in place.
    """
    target = destination(path)
    try:
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)  # first: what fails here changes nothing
        try:
            _remove_leftovers(target)
            _replace(target, data)
            with _where_supported():
                os.fsync(folder)  # the rename itself must reach the disk too
        finally:
            os.close(folder)
    except OSError as error:  # it would name the temporary file
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from error


def destination(path: str | os.PathLike[str]) -> Path:
    """The plain file, there or not, that `write_atomically` replaces or makes for `path`; for asking before long work.

    Raises:
        OSError: it would not write there, as far as that is seen without writing; it names `path`.
    """
    target = Path(path)
    with contextlib.suppress(FileNotFoundError):  # nothing is there, or a link to nothing
        _plain(os.stat(str(path)).st_mode, path)  # finds links in a circle too
    while target.is_symlink():
        if Path(os.path.realpath(target.parent)).is_relative_to("/proc"):  # others write there at the same time
            raise OSError(errno.EINVAL, "A plain file was required. Received: a stream that is open", str(path))
        target = target.parent / os.readlink(target)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"There is no folder {target.parent} to write to", str(path))
    return target


def _plain(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "A plain file was required. Received: a folder", str(path))
    if not stat.S_ISREG(mode):
        found = REFUSED.get(stat.S_IFMT(mode), "something else")
        raise OSError(errno.EINVAL, f"A plain file was required. Received: {found}", str(path))


def distinct(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Refuses to write to `path` what is made from `source` if both are one file, by whatever names.

    Raises:
        ValueError: they are; a symlink or a hard link counts.
    """
    if os.path.exists(source) and os.path.exists(path) and os.path.samefile(source, path):
        raise ValueError(f"A file is not written over the one it is made from. Received: {source} and {path}")


def _replace(target: Path, data: bytes | bytearray) -> None:
    try:
        old = target.stat()
    except FileNotFoundError:
        old = None
    while True:
        temporary = target.parent / f"{_prefix(target)}{secrets.token_hex(8)}.tmp"
        try:
            with open(temporary, "xb", opener=_hidden if old else None) as file:
                with _where_supported():
                    fcntl.flock(file, fcntl.LOCK_EX)
                status = os.fstat(file.fileno())
                if not status.st_nlink:
                    continue  # another writer found it before it was locked, and took it for a leftover
                _set_mode(file.fileno(), 0o600)
                file.write(data)
                file.flush()
                mode = _own(file.fileno(), old) if old else stat.S_IMODE(status.st_mode)
                _set_mode(file.fileno(), mode)
                os.fsync(file.fileno())
                os.replace(temporary, target)  # while it is locked
                return
        finally:
            temporary.unlink(missing_ok=True)


def _hidden(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _own(descriptor: int, old: os.stat_result) -> int:
    """Gives the file the owner and group of the old one, where that is permitted; returns the mode that it may have."""
    mode = stat.S_IMODE(old.st_mode) & 0o777
    for owner in (old.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, owner, old.st_gid)
            return mode
    return mode & 0o707 | (mode & 0o007) << 3


def _set_mode(descriptor: int, mode: int) -> None:
    with contextlib.suppress(PermissionError):  # FAT, which has no modes
        os.fchmod(descriptor, mode)


def _prefix(target: Path) -> str:
    """How temporary files for `target` begin: of one length, since a name may be as long as is allowed already."""
    return f".keras_sparse.{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}."


def _remove_leftovers(target: Path) -> None:
    """Removes the temporary files of writers to `target` that are dead."""
    name = re.compile(rf"{re.escape(_prefix(target))}[0-9a-f]{{16}}\.tmp")
    for found in filter(name.fullmatch, os.listdir(target.parent)):
        # What cannot be opened, locked or removed is another writer's, or gone: no reason not to write.
        with contextlib.suppress(OSError), _opened(target.parent / found) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.unlink(target.parent / found)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _where_supported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
