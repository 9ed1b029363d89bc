"""The command as it is installed: what a user sees before and around the work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments, code="import keras_sparse_command; keras_sparse_command.main()"):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT)


def test_nothing_but_the_answer_is_printed():
    ran = run("--version")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("keras-sparse ")


def test_an_error_is_one_line_and_a_code():
    ran = run("sparsity", "no-such-file.keras")
    assert ran.returncode == 1
    assert ran.stderr.splitlines() == ["keras-sparse: error: There is no file no-such-file.keras"]


def test_what_was_held_back_is_shown_when_loading_fails():
    code = (
        "import os, sys, keras_sparse_command as command\n"
        "with command._held_back(sys.stderr):\n"
        "    os.write(2, b'a notice\\n')\n"
        "    raise ImportError('no tensorflow')"
    )
    ran = run(code=code)
    assert ran.returncode == 1
    assert ran.stderr.startswith("a notice\n")
    assert "ImportError: no tensorflow" in ran.stderr


def test_the_console_script_is_this_one():
    entry = [line for line in (ROOT / "setup.cfg").read_text().splitlines() if "keras-sparse =" in line]
    assert [line.strip() for line in entry] == ["keras-sparse = keras_sparse_command:main"]


def test_help_names_every_command():
    text = run("--help").stdout
    assert all(word in text for word in ("demo", "export", "sparsity", "verify", "bench"))
