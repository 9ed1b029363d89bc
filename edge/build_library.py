"""What the native library of edge/ is made of, and one command that makes it, for this machine or for another.

    python edge/build_library.py libkeras_sparse.so
    python edge/build_library.py --compiler aarch64-linux-gnu-gcc libkeras_sparse.so

The compiler of the second is Debian's `gcc-aarch64-linux-gnu`. Clang does as well ("clang --target=aarch64-linux-gnu"),
for the kernels of ARM64 from version 16 on. One set of flags builds everything: files of other instruction sets compile
to nothing. Built on Debian 12, the library needs glibc 2.34 or newer.
"""

import argparse
import shlex
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
PARTS = ("kernels", "delegate", "provider")
SOURCES = sorted(str(path) for part in PARTS for path in FOLDER.glob(f"{part}/*.c"))
HEADERS = sorted(str(path) for part in PARTS for path in FOLDER.glob(f"{part}/**/*.h"))
COMPILE = ["-std=c11", "-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", "-pthread"]
LINK = ["-pthread", "-lm", "-Wl,-s"]


def command(output, compiler="cc"):
    """The words of the command; `compiler` may have options of its own, as in "clang --target=aarch64-linux-gnu"."""
    return [*shlex.split(compiler), "-shared", "-fPIC", *COMPILE, "-o", str(output), *SOURCES, *LINK]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compiler", default="cc")
    parser.add_argument("output")
    options = parser.parse_args()
    raise SystemExit(subprocess.call(command(options.output, options.compiler)))
