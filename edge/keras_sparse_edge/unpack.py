"""`python -m keras_sparse_edge unpack model.tflite.pack model.tflite`: the original of a packed file."""

from __future__ import annotations

import argparse
import errno
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from keras_sparse_edge.arguments import count
from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.packed import MAX_SIZE, read_packed


def unpack_command(program: str, argv: Sequence[str]) -> None:
    """Runs the command; raises what `read_packed` does, with the file's name, and OSError if nothing can be written."""
    parser = argparse.ArgumentParser(program, description="Unpack a model file that keras_sparse packed.")
    parser.add_argument("packed", help="the packed file")
    parser.add_argument("original", help="where to")
    parser.add_argument(
        "--max-size",
        type=count,
        default=MAX_SIZE,
        metavar="BYTES",
        help="refuse a larger original before it takes memory (%(default)s)",
    )
    args = parser.parse_args(argv)
    target = Path(args.original)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
    try:
        data = read_packed(args.packed, args.max_size)
    except PackedError as error:
        raise PackedError(f"{args.packed}: {error}") from error
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
