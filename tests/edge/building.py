"""Builds the native library's sources for tests: with sanitizers, or into a program of C."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from runpy import run_path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = run_path(str(ROOT / "edge" / "build_library.py"))["SOURCES"]
FLAGS = ["-std=c11", "-g", "-ffp-contract=off", "-pthread", f"-I{ROOT / 'edge'}"]


def compiler(*options):
    """The words of gcc, or a skip where it cannot link a program with these options."""
    found = shutil.which("gcc")
    if not found:
        pytest.skip("there is no gcc")
    tried = subprocess.run(
        [found, *options, "-xc", "-", "-o", "/dev/null"], input="int main(void) { return 0; }", text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    if tried.returncode:
        pytest.skip(f"gcc cannot build with {' '.join(options)}")
    return [found, *options]


def build(output, *sources, options=()):
    command = [*compiler(*(each for each in options if each.startswith("-fsanitize"))), *FLAGS, *options]
    subprocess.run([*command, "-o", str(output), *map(str, sources), *SOURCES, "-lm"], check=True)
    return output


def library(folder):
    """The library with AddressSanitizer and UndefinedBehaviorSanitizer, each finding of which ends the process."""
    options = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer")
    return build(folder / "libkeras_sparse.so", options=(*options, "-O1", "-shared", "-fPIC", "-fvisibility=hidden"))


def sanitized(library):
    """Environment of a process of Python that loads it. Python itself is not looked at for leaks."""
    names = ("libasan.so", "libstdc++.so.6")  # the second so that the first finds __cxa_throw, which LiteRT uses
    found = [subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip() for name in names]
    return {
        "LD_PRELOAD": ":".join(found),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
        "KERAS_SPARSE_NATIVE": str(library),
    }
