"""The device's unpack command: the original, or one line and nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from keras_sparse_edge.__main__ import main

from .samples import everything


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    packed, _ = everything()
    (tmp_path / "model.pack").write_bytes(packed)
    return tmp_path / "model.pack", tmp_path / "model.tflite"


def test_the_original_is_written(paths: tuple[Path, Path]) -> None:
    assert main(["unpack", *map(str, paths)]) == 0
    assert paths[1].read_bytes() == everything()[1]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["model.pack", "model.tflite"]


def test_damage_is_one_line(paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    paths[1].write_bytes(b"as it was")
    assert main(["unpack", *map(str, paths)]) == 2
    assert main(["unpack", str(paths[0]) + ".none", str(paths[1])]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith(f"keras-sparse-edge: error: {paths[0]}: the file is damaged or cut")
    assert err[1] == f"keras-sparse-edge: error: there is no file {paths[0]}.none"
    assert paths[1].read_bytes() == b"as it was"
    with pytest.raises(SystemExit):
        main(["unpack", "one"])


def test_a_missing_folder_is_named(paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    original = paths[0].parent / "none" / "m.tflite"
    assert main(["unpack", str(paths[0]), str(original)]) == 2
    said = f"{original}: There is no folder {original.parent} to write to"
    assert capsys.readouterr().err == f"keras-sparse-edge: error: {said}\n"


def test_what_is_no_plain_file_is_refused(paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(paths[1])
    assert main(["unpack", *map(str, paths)]) == 2
    said = f"{paths[1]}: A plain file was required. Received: a FIFO or pipe"
    assert capsys.readouterr().err == f"keras-sparse-edge: error: {said}\n"
    assert paths[1].is_fifo()


def test_the_packed_file_is_not_replaced(paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    paths[1].symlink_to(paths[0])
    before = paths[0].read_bytes()
    assert main(["unpack", *map(str, paths)]) == 2
    assert "over the one it is made from" in capsys.readouterr().err
    assert paths[0].read_bytes() == before


def test_numpy_and_the_standard_library_are_enough(paths: tuple[Path, Path], edge_folder: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "keras_sparse_edge", "unpack", *map(str, paths)]
    environment = os.environ | {"PYTHONPATH": str(edge_folder)}
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "keras_sparse_edge" in imported
    assert not imported & {"tensorflow", "keras", "keras_sparse", "ai_edge_litert", "flatbuffers", "google"}


def test_a_larger_original_than_asked_for_is_refused(
    paths: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    size = len(everything()[1])
    assert main(["unpack", "--max-size", str(size - 1), *map(str, paths)]) == 2
    said = f"{paths[0]}: the original must have 1 to {size - 1} bytes; got {size}"
    assert capsys.readouterr().err == f"keras-sparse-edge: error: {said}\n"
    assert not paths[1].exists()
    assert main(["unpack", "--max-size", str(size), *map(str, paths)]) == 0
    with pytest.raises(SystemExit):
        main(["unpack", "--max-size", "0", *map(str, paths)])
