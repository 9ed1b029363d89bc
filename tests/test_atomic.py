"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_sparse.atomic import destination, distinct, write_atomically


def test_the_bytes_arrive(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(str(path), b"")
    assert path.read_bytes() == b""
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_a_bare_name_is_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically("a.bin", b"one")
    assert (tmp_path / "a.bin").read_bytes() == b"one"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_what_reaches_the_disk_and_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before its name, and then the folder with the name."""
    done, fsync, replace = [], os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        done.append("folder" if stat.S_ISDIR(status.st_mode) else f"{status.st_size} bytes")

    def renamed(*paths: Any) -> None:
        replace(*paths)
        done.append("rename")

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_atomically(tmp_path / "a.bin", b"new")
    assert done == ["3 bytes", "rename", "folder"]


def test_an_error_names_the_file_and_no_temporary_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(tmp_path / "folder", b"x")
    assert caught.value.filename == str(tmp_path / "folder") and ".tmp" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a.bin", b"x")


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("n" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    write_atomically(path, b"x")
    with pytest.raises(OSError, match="name too long") as caught:
        write_atomically(f"{path}n", b"x")
    assert caught.value.filename == f"{path}n" and path.read_bytes() == b"x"


class TestWhereTo:
    """What is no plain file, and what leads to one."""

    @pytest.fixture(params=["character device", "block device", "FIFO", "socket", "folder"])
    def no_file(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path, kind = tmp_path / "target", request.param
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "socket":
            monkeypatch.chdir(tmp_path)  # the path of a socket is short
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("target")
        else:
            mode = {"character device": stat.S_IFCHR, "block device": stat.S_IFBLK}[kind]
            try:
                os.mknod(path, mode | 0o600, os.makedev(1, 3))
            except PermissionError:
                pytest.skip("only root makes devices")
        return path

    @pytest.mark.parametrize("through", ["itself", "a link"])
    def test_what_is_no_file_is_refused_and_kept(self, no_file: Path, through: str) -> None:
        path = no_file
        if through == "a link":
            path = no_file.parent / "link"
            path.symlink_to("target")
        before = os.lstat(no_file)
        for refuse in (destination, lambda path: write_atomically(path, b"x")):
            with pytest.raises(OSError, match=r"A plain file was required\. Received: a ") as caught:
                refuse(path)
            assert caught.value.filename == str(path)
        assert isinstance(caught.value, IsADirectoryError) == no_file.is_dir()
        after = os.lstat(no_file)
        assert (after.st_mode, after.st_ino, after.st_rdev) == (before.st_mode, before.st_ino, before.st_rdev)
        assert {each.name for each in no_file.parent.iterdir()} == {"target", path.name}

    def test_dev_null(self) -> None:
        with pytest.raises(OSError, match="a character device"):
            destination(os.devnull)  # which writes nothing: a test that fails must not cost the machine its own

    @pytest.mark.parametrize("stdout", ["a file", "a pipe"])
    def test_standard_output_is_refused_whatever_it_is(self, tmp_path: Path, stdout: str) -> None:
        """A file there would be replaced, and what the process prints would go into the old one."""
        script = (
            "import sys\n"
            "from keras_sparse_edge.atomic import destination, write_atomically\n"
            "print('before', flush=True)\n"
            "for path in (sys.argv[1], '/proc/self/fd/1'):\n"
            "    try:\n        write_atomically(path, b'x')\n"
            "    except OSError as error:\n        print(error.strerror)\n"
            "try:\n    destination('/dev/stdout')\n"
            "except OSError as error:\n    print(error.strerror)\n"
        )
        like = tmp_path / "stdout"  # like /dev/stdout, which a test that fails must not replace
        like.symlink_to("/proc/self/fd/1")
        path = tmp_path / "out"
        with open(path, "wb") as file:
            to = file if stdout == "a file" else subprocess.PIPE
            done = subprocess.run([sys.executable, "-c", script, like], stdout=to, check=True)
        found = (done.stdout or path.read_bytes()).decode().splitlines()
        what = "a stream that is open" if stdout == "a file" else "a FIFO or pipe"
        assert found == ["before", *[f"A plain file was required. Received: {what}"] * 3]

    def test_a_link_stays_and_its_file_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "file").write_bytes(b"old")
        (tmp_path / "there" / "second").symlink_to("file")
        (tmp_path / "first").symlink_to("there/second")
        write_atomically(tmp_path / "first", b"new")
        assert (tmp_path / "there" / "file").read_bytes() == b"new"
        assert os.readlink(tmp_path / "first") == "there/second"
        assert os.readlink(tmp_path / "there" / "second") == "file"
        assert not (tmp_path / "there" / "file").is_symlink()

    def test_a_link_to_nothing_yet(self, tmp_path: Path) -> None:
        (tmp_path / "there").mkdir()
        (tmp_path / "link").symlink_to("there/file")
        write_atomically(tmp_path / "link", b"new")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "file").read_bytes() == b"new"
        (tmp_path / "lost").symlink_to("none/file")
        with pytest.raises(FileNotFoundError, match=r"There is no folder .*none to write to") as caught:
            write_atomically(tmp_path / "lost", b"new")
        assert caught.value.filename == str(tmp_path / "lost") and (tmp_path / "lost").is_symlink()

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OSError) as caught:
            write_atomically(tmp_path / "a", b"x")
        assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, str(tmp_path / "a"))

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(NotADirectoryError) as caught:
            write_atomically(tmp_path / "file" / "a.bin", b"x")
        assert caught.value.filename == str(tmp_path / "file" / "a.bin")


class TestMode:
    """Permissions, owner and group."""

    @pytest.fixture(params=[0o022, 0o077, 0o002])
    def umask(self, request: pytest.FixtureRequest) -> Iterator[int]:
        before = os.umask(request.param)
        yield request.param
        os.umask(before)

    def test_a_new_file_has_what_open_gives(self, tmp_path: Path, umask: int) -> None:
        (tmp_path / "opened").write_bytes(b"")
        write_atomically(tmp_path / "a.bin", b"new")
        assert mode(tmp_path / "a.bin") == mode(tmp_path / "opened") == 0o666 & ~umask

    @pytest.mark.parametrize("old", [0o600, 0o640, 0o664, 0o755, 0o444, 0o666])
    def test_that_of_a_replaced_file_is_kept(self, tmp_path: Path, umask: int, old: int) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")
        path.chmod(old)
        write_atomically(path, b"new")
        assert (mode(path), path.read_bytes()) == (old, b"new")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
    def test_the_owner_of_a_replaced_file_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")
        os.chown(path, 1234, 4321)
        path.chmod(0o640)
        write_atomically(path, b"new")
        status = path.stat()
        assert (status.st_uid, status.st_gid, mode(path), path.read_bytes()) == (1234, 4321, 0o640, b"new")

    def test_another_group_has_no_more_than_all_others(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.bin"
        path.write_bytes(b"old")
        path.chmod(0o764)
        monkeypatch.setattr(os, "fchown", denied)
        write_atomically(path, b"new")
        assert (mode(path), path.read_bytes()) == (0o744, b"new")

    def test_a_file_system_without_modes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "fchmod", denied)
        for data in (b"one", b"two"):
            write_atomically(tmp_path / "a.bin", data)
            assert (tmp_path / "a.bin").read_bytes() == data

    @pytest.mark.parametrize("old", [None, 0o600, 0o644])
    def test_until_it_is_whole_nobody_else_reads_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: int | None
    ) -> None:
        path, seen = tmp_path / "a.bin", []
        if old is not None:
            path.write_bytes(b"old")
            path.chmod(old)

        made = os.fchmod

        def watched(descriptor: int, wanted: int) -> None:
            before = os.fstat(descriptor)
            seen.append((stat.S_IMODE(before.st_mode), before.st_size, wanted))
            made(descriptor, wanted)

        monkeypatch.setattr(os, "fchmod", watched)
        write_atomically(path, b"new")
        (tmp_path / "opened").write_bytes(b"")
        final = mode(tmp_path / "opened") if old is None else old
        # Hidden while it is empty, and shown when it is whole.
        assert [each[1:] for each in seen] == [(0, 0o600), (3, final)]
        assert seen[1][0] == 0o600 and (old is None or seen[0][0] == 0o600)


class TestLeftovers:
    """Temporary files of writers that were killed."""

    def test_they_are_removed_by_the_next_write_to_the_same_path(self, tmp_path: Path) -> None:
        leave_one(tmp_path / "a.bin")
        leave_one(tmp_path / "b.bin")
        left = set(tmp_path.iterdir())
        write_atomically(tmp_path / "a.bin", b"new")
        assert len(left) == 2 and len(left & set(tmp_path.iterdir())) == 1
        write_atomically(tmp_path / "b.bin", b"new")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "b.bin"]

    def test_by_a_write_through_a_link_too(self, tmp_path: Path) -> None:
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "link").symlink_to("../a.bin")
        leave_one(tmp_path / "links" / "link")
        write_atomically(tmp_path / "a.bin", b"new")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bin", "links"]
        assert [each.name for each in (tmp_path / "links").iterdir()] == ["link"]

    def test_a_failing_write_removes_them_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave_one(tmp_path / "a.bin")
        monkeypatch.setattr(os, "replace", denied)
        with pytest.raises(PermissionError):
            write_atomically(tmp_path / "a.bin", b"new")
        assert list(tmp_path.iterdir()) == []

    def test_that_of_a_writer_who_lives_stays(self, tmp_path: Path) -> None:
        path = tmp_path / "a.bin"
        child = subprocess.Popen(
            [sys.executable, "-c", STOPPED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout.readline() == "whole\n"
            write_atomically(path, b"mine")
            assert path.read_bytes() == b"mine" and len(list(tmp_path.iterdir())) == 2
            child.stdin.close()
        assert child.returncode == 0 and path.read_bytes() == b"theirs"
        assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]

    def test_one_that_is_taken_before_it_is_locked_is_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between making a file and locking it, another writer may take it for a leftover."""
        path, lock, taken = tmp_path / "a.bin", fcntl.flock, []

        def late(file: Any, operation: int) -> None:
            if operation == fcntl.LOCK_EX and len(taken) < 3:
                taken.extend(tmp_path.glob(".keras_sparse.*"))
                with monkeypatch.context() as undone:
                    undone.setattr(fcntl, "flock", lock)
                    write_atomically(path, b"another's")
            lock(file, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        write_atomically(path, b"mine")
        assert len(set(taken)) == 3 and path.read_bytes() == b"mine"
        assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]

    def test_what_is_only_similar_stays(self, tmp_path: Path) -> None:
        """Files of others, files for other paths, and what has the name but is no file."""
        leave_one(tmp_path / "a.bin")
        (left,) = tmp_path.iterdir()
        name = left.name
        left.unlink()
        names = ["a.bin.tmp", ".a.bin.tmp", f"{name}.tmp", name[1:], name.upper(), f"{name[:-5]}g.tmp", f"{name[:-4]}"]
        for each in names:
            (tmp_path / each).write_bytes(b"of another")
        (tmp_path / f"{name[:-5]}0.tmp").mkdir()
        (tmp_path / f"{name[:-5]}1.tmp").symlink_to("a.bin.tmp")
        os.mkfifo(tmp_path / f"{name[:-5]}2.tmp")
        before = set(tmp_path.iterdir())
        write_atomically(tmp_path / "a.bin", b"new")
        assert set(tmp_path.iterdir()) == before | {tmp_path / "a.bin"}

    def test_where_there_are_no_locks_they_stay(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave_one(tmp_path / "a.bin")

        def unsupported(*_: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, "flock", unsupported)
        write_atomically(tmp_path / "a.bin", b"new")
        assert (tmp_path / "a.bin").read_bytes() == b"new" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["itself", "relative", "link", "hard link"])
def test_the_file_that_it_is_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source, path = tmp_path / "source", tmp_path / name
    source.write_bytes(b"old")
    if name == "itself":
        path = source
    elif name == "relative":
        monkeypatch.chdir(tmp_path)
        path = Path(".", "source")
    elif name == "link":
        path.symlink_to("source")
    else:
        path.hardlink_to(source)
    with pytest.raises(ValueError, match=r"over the one it is made from\. Received: .*source and "):
        distinct(source, path)
    distinct(source, tmp_path / "another")
    distinct(tmp_path / "none", path)  # whoever reads it says so


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def denied(*_: object, **__: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


STOPPED = """
import os, sys
from keras_sparse_edge.atomic import write_atomically
replace = os.replace
def stopped(*args):
    print("whole", flush=True)
    sys.stdin.read()
    replace(*args)
os.replace = stopped
write_atomically(sys.argv[1], b"theirs")
"""
"""Stops before the rename, until its standard input is closed."""


def leave_one(path: Path) -> None:
    """What a writer to `path` leaves that is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == b"whole\n"
        child.kill()
