"""`python -m keras_sparse_edge unpack model.tflite.pack model.tflite`: the original of a packed file."""

from __future__ import annotations

import argparse
import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from keras_sparse_edge.packed import read_packed


def unpack_command(program: str, argv: Sequence[str]) -> None:
    """Runs the command; raises what `read_packed` does, and OSError if the original cannot be written."""
    parser = argparse.ArgumentParser(program, description="Unpack a model file that keras_sparse packed.")
    parser.add_argument("packed", help="the packed file")
    parser.add_argument("original", help="where to")
    args = parser.parse_args(argv)
    target = Path(args.original)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
    data = read_packed(args.packed)
    # whole or not at all: a device may lose its power
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
