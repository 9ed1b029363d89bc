"""Faults while a file is written: the old file or the new one is there, whole, and nothing else."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = os.geteuid() == 0
NOBODY = 65534


def child(script: str, folder: Path, *words: object, program: tuple[str, ...] = ()) -> list[str]:
    """Runs HEAD and a script in the folder; the lines that it prints."""
    command = [*program, sys.executable, "-c", HEAD + script, *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


HEAD = """
import errno, hashlib, os, random, resource, signal, subprocess, sys, time
from pathlib import Path
from keras_sparse_edge.atomic import write_atomically

def failing(path, data):
    "Tries to write; prints what was raised, and whether the old file is there, alone."
    before = Path(path).read_bytes() if os.access(path, os.R_OK) else None
    beside = set(os.listdir(".")) if os.access(".", os.R_OK) else None
    try:
        write_atomically(path, data)
        said = "written"
    except OSError as error:
        said = f"{type(error).__name__} {errno.errorcode[error.errno]} {error.filename}"
    if said != "written":
        assert before is None or Path(path).read_bytes() == before
    if beside is not None:
        assert set(os.listdir(".")) == beside, os.listdir(".")
    print(said)

def content(number):
    "Long enough to be written in several parts, and nobody else's."
    body = bytes([number]) * (1 + 20_000 * number)
    return hashlib.sha256(body).digest() + body

def whole(data):
    return data[:32] == hashlib.sha256(data[32:]).digest()
"""


@pytest.fixture
def mounting() -> tuple[str, ...]:
    """What starts a program that may mount file systems which nobody else sees."""
    program = ("unshare", "--mount") if ROOT else ("unshare", "--map-root-user", "--mount")
    if shutil.which("unshare") is None or subprocess.run([*program, "true"], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    return program


@pytest.mark.parametrize("old", [b"", b"as it was"])
def test_a_full_disk(tmp_path: Path, mounting: tuple[str, ...], old: bytes) -> None:
    script = """
old = sys.argv[1].encode()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", "."], check=True)
os.chdir(os.getcwd())  # into what is mounted there now
if old:
    Path("a.bin").write_bytes(old)
for size in (300_000, 3_000_000):
    failing("a.bin", bytes(size))
failing("b.bin", bytes(300_000))
os.chdir("/")
"""
    expected = [f"OSError ENOSPC {name}" for name in ("a.bin", "a.bin", "b.bin")]
    assert child(script, tmp_path, old.decode(), program=mounting) == expected
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_takes_what_fits(tmp_path: Path, mounting: tuple[str, ...]) -> None:
    """The old and the new file are there at the same time: both must fit."""
    script = """
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", "."], check=True)
os.chdir(os.getcwd())
write_atomically("a.bin", bytes(150_000))
failing("a.bin", bytes([1]) * 150_000)
failing("a.bin", bytes([2]) * 90_000)
failing("a.bin", bytes([3]) * 150_000)
print(Path("a.bin").stat().st_size, len(os.listdir(".")))
"""
    assert child(script, tmp_path, program=mounting) == ["OSError ENOSPC a.bin", "written", "written", "150000 1"]


def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"as it was")
    script = """
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
failing("a.bin", bytes(1001))
failing("a.bin", bytes(100_000))
failing("b.bin", bytes(100_000))
failing("a.bin", bytes(1000))
"""
    expected = [f"OSError EFBIG {name}" for name in ("a.bin", "a.bin", "b.bin")]
    assert child(script, tmp_path) == [*expected, "written"]


def test_a_file_system_that_is_read_only(tmp_path: Path, mounting: tuple[str, ...]) -> None:
    script = """
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "."], check=True)
os.chdir(os.getcwd())
Path("a.bin").write_bytes(b"as it was")
subprocess.run(["mount", "-o", "remount,ro", os.getcwd()], check=True)
failing("a.bin", b"new")
failing("b.bin", b"new")
"""
    assert child(script, tmp_path, program=mounting) == ["OSError EROFS a.bin", "OSError EROFS b.bin"]


@pytest.mark.parametrize(
    ("folder", "old", "said"),
    [
        (0o555, 0o666, "PermissionError EACCES a.bin"),  # the folder cannot be written to
        (0o333, 0o666, "PermissionError EACCES a.bin"),  # nor read: found before anything is written
        (0o666, 0o666, "PermissionError EACCES a.bin"),  # nor entered
        (0o777, 0o444, "written"),  # the folder decides, not the old file
        (0o1777, 0o666, "PermissionError EPERM a.bin"),  # where everybody keeps their own files
    ],
)
def test_without_permission(tmp_path: Path, folder: int, old: int, said: str) -> None:
    """As somebody else, where this is root, who is permitted everything."""
    if not ROOT and folder == 0o1777:
        pytest.skip("only root can make a file of somebody else")
    (tmp_path / "a.bin").write_bytes(b"as it was")
    (tmp_path / "a.bin").chmod(old)
    tmp_path.chmod(folder)
    try:
        drop = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})" if ROOT else ""
        assert child(f"{drop}\nfailing('a.bin', b'new')", tmp_path) == [said]
    finally:
        tmp_path.chmod(0o755)
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == (b"new" if said == "written" else b"as it was")


@pytest.mark.skipif(not ROOT, reason="only root can make a file of somebody else")
def test_a_file_of_somebody_else(tmp_path: Path) -> None:
    """Its owner and group cannot be kept; then the writer's group may do no more than all others."""
    (tmp_path / "a.bin").write_bytes(b"as it was")
    (tmp_path / "a.bin").chmod(0o664)
    tmp_path.chmod(0o777)
    script = f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); failing('a.bin', b'new')"
    assert child(script, tmp_path) == ["written"]
    status = (tmp_path / "a.bin").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (NOBODY, NOBODY, 0o644)


@pytest.mark.parametrize("through", ["the file", "links to it"])
def test_many_writers_to_one_path(tmp_path: Path, through: str) -> None:
    """Eight processes, ten writes each; what is read meanwhile is always the whole file of one of them."""
    script = """
waiting, begin = os.pipe()
paths = [sys.argv[1].format(number) for number in range(8)]
writers = []
for number, path in enumerate(paths):
    if path != "a.bin":
        os.symlink("a.bin", path)
    writers.append(os.fork())
    if not writers[-1]:
        os.close(begin)
        os.read(waiting, 1)  # until all are there
        for _ in range(10):
            write_atomically(path, content(number))
        os._exit(0)
os.close(begin)
read, seen = 0, set()
while writers:
    if os.path.exists("a.bin"):
        data = Path("a.bin").read_bytes()
        assert whole(data)
        read, seen = read + 1, seen | {data[-1]}
    done, status = os.waitpid(-1, os.WNOHANG)
    if done:
        writers.remove(done)
        assert status == 0
assert whole(Path("a.bin").read_bytes()) and read >= 10 and len(seen) > 1
assert set(os.listdir(".")) == {"a.bin", *paths}, os.listdir(".")
"""
    child(script, tmp_path, "a.bin" if through == "the file" else "link{}")


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Of 200 writers that are killed, each leaves whole files, and the next write removes what they left beside."""
    script = """
paths = "a.bin", "b.bin"
chance, left = random.Random(sys.argv[1]), 0
for number in range(200):
    writer = os.fork()
    while not writer:
        for path in paths:
            write_atomically(path, content(number % 7))
    time.sleep(chance.uniform(0, 0.008))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    found = set(os.listdir("."))
    assert all(whole(Path(path).read_bytes()) for path in found & set(paths))
    extra = len(found - set(paths))
    left += bool(extra)
    assert extra <= 1 + number % 10  # since all were removed
    if number % 10 == 9:
        for path in paths:
            write_atomically(path, content(1))
        assert sorted(os.listdir(".")) == ["a.bin", "b.bin"], os.listdir(".")
print(left)
"""
    (left,) = child(script, tmp_path, random.randrange(1 << 30))
    assert int(left) >= 20  # else hardly any was killed while it wrote
