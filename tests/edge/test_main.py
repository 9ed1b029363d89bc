"""The command: what it prints, and one line with exit code 2 for whatever is wrong."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_sparse_edge import Bundle, BundleError, native
from keras_sparse_edge.__main__ import main
from keras_sparse_edge.run import InputError, load_items


@pytest.fixture
def files(tmp_path: Path, bundle_bytes: bytes) -> tuple[str, str]:
    """The good bundle and a batch of two: the second item is bright where class 2 looks."""
    items = np.zeros((2, 4, 4), "uint8")
    items[1].flat[2::3] = 255
    np.save(tmp_path / "input.npy", items)
    return str(tmp_path / "good.ksb"), str(tmp_path / "input.npy")


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_results_for_a_human(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "item  rank  label   score"
    assert lines[1:3] == ["   0     1  zero   0.0000", "   0     2  one    0.0000"]
    assert lines[3].startswith("   1     1  two    5.0")
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 5


def test_results_as_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--top", "1", "--json", "--threads", "1"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {"item": 0, "top": [{"class": 0, "label": "zero", "score": 0.0}]}
    assert second["item"] == 1
    assert second["top"][0]["label"] == "two"
    assert second["top"][0]["score"] == pytest.approx(5, abs=0.1)


def test_info(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([files[0], "--info"]) == 0
    facts = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert facts["format version"].strip() == "1"
    assert facts["raw item"].strip() == "uint8 [4, 4], * 0.00392157 + 0"
    assert facts["labels"].strip() == "zero, one, two"
    assert facts["metrics"].strip() == "accuracy 0.75"
    assert facts["versions"].strip() == "keras 3.15.1"
    assert facts["recipe"].strip() == '{"rules": [{"prune": {"sparsity": 0.5}}]}'
    assert ("native INT8" in facts["kernels here"]) == native.available()
    assert "int8 [1, 4, 4, 1], scale 0.00392157, zero point -128" in facts["input"]
    assert main([files[0], "--info", "--no-native"]) == 0
    assert "native INT8" not in capsys.readouterr().out


@pytest.mark.skipif(not native.available(), reason="the native kernels are not to be had here")
def test_scores_are_the_same_without_native_kernels(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said = [(main([*files, option]), capsys.readouterr().out) for option in ("--native", "--no-native")]
    assert said[0] == said[1] and said[0][0] == 0


def test_info_as_json(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([files[0], "--info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["zero", "one", "two"]


HUGE = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (9%s, 4, 4)}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .npy array of numbers"),
        (b"text", "not a .npy array of numbers"),
        (npy(np.zeros((2, 4, 4), "uint8"))[:-1], "not a .npy array of numbers"),
        (npy(np.array([{"a": 1}], object)), "not a .npy array of numbers"),
        (b"\x80\x04N.", "not a .npy array of numbers"),  # a pickle
        ((HUGE % (b"0" * 12)).ljust(127) + b"\n", "not a .npy array of numbers"),
        (npy(np.zeros((2, 4, 4), "float32")), "got the dtype 'float32'"),
        (npy(np.zeros((2, 5, 4), "uint8")), "got the shape [2, 5, 4]"),
        (npy(np.zeros((0, 4, 4), "uint8")), "got none"),
    ],
)
def test_a_bad_input_is_one_line(
    files: tuple[str, str],
    capfd: pytest.CaptureFixture[str],
    content: bytes,
    message: str,
) -> None:
    Path(files[1]).write_bytes(content)
    assert main([*files]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"keras-sparse-edge: error: {files[1]}: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    with pytest.raises(InputError, match=r"must be one \.npy array"):
        load_items(tmp_path / "two.npz")


def test_damaged_arrays_are_refused_or_read(tmp_path: Path) -> None:
    good = npy(np.arange(32, dtype="uint8").reshape(2, 4, 4))
    path, dice = tmp_path / "input.npy", random.Random(0)
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        try:
            assert isinstance(load_items(path), np.ndarray)
        except InputError as error:
            assert "numbers" in str(error)


def test_deep_headers_are_refused(tmp_path: Path) -> None:
    header = b"(" * 9000 + b")" * 9000
    (tmp_path / "deep.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", 18000) + header)
    with pytest.raises(InputError, match=r"not a \.npy array"):
        load_items(tmp_path / "deep.npy")


def test_a_bad_bundle_is_one_line(
    files: tuple[str, str], bundle_bytes: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    Path(files[0]).write_bytes(bundle_bytes[:-1])
    assert main([*files]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"keras-sparse-edge: error: {files[0]}: not a bundle, or cut")


def test_a_missing_file_is_one_line(files: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([files[0], files[1] + "\n.none"]) == 2
    assert main([files[0] + ".none", files[1]]) == 2
    err = capfd.readouterr().err
    assert err.count("\n") == 2
    assert err.splitlines() == [
        f"keras-sparse-edge: error: there is no file {files[1]} .none",
        f"keras-sparse-edge: error: there is no file {files[0]}.none",
    ]


def test_a_folder_in_place_of_a_file_is_one_line(
    files: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([files[0], str(tmp_path)]) == 2
    assert capfd.readouterr().err == f"keras-sparse-edge: error: {tmp_path}: Is a directory\n"


@pytest.mark.parametrize(
    "args", [[], ["b.ksb"], ["b.ksb", "i.npy", "--top", "0"], ["b.ksb", "i.npy", "--threads", "x"]]
)
def test_bad_arguments_exit_with_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    assert "keras-sparse-edge: error: " in capsys.readouterr().err


def test_as_a_module_without_tensorflow(files: tuple[str, str], edge_folder: Path) -> None:
    """In a process of its own, with an ASCII console, from another folder."""
    environment = os.environ | {"PYTHONPATH": str(edge_folder), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-X", "importtime", "-m", "keras_sparse_edge", *files]
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert "two" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "keras_sparse_edge.run" in imported
    assert not imported & {"tensorflow", "keras", "keras_sparse"}
    Path(files[0]).write_bytes(b"broken")
    done = subprocess.run(
        [sys.executable, "-m", "keras_sparse_edge", *files],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("keras-sparse-edge: error: ")


def test_a_larger_model_than_asked_for_is_refused(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    size = Bundle.open(files[0]).manifest.members["model.tflite"].bytes
    assert main([*files, "--max-size", str(size - 1)]) == 2
    said = f"{files[0]}: model.tflite must have at most {size - 1} bytes; got {size}"
    assert capsys.readouterr().err == f"keras-sparse-edge: error: {said}\n"
    assert main([*files, "--max-size", str(size)]) == 0
    with pytest.raises(BundleError, match=f"at most {size - 1} bytes"):
        Bundle.open(files[0], max_size=size - 1)
