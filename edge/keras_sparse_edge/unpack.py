"""`python -m keras_sparse_edge unpack model.tflite.pack model.tflite`: the original of a packed file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keras_sparse_edge.arguments import count
from keras_sparse_edge.atomic import destination, distinct, write_atomically
from keras_sparse_edge.errors import PackedError
from keras_sparse_edge.packed import MAX_SIZE, read_packed


def unpack_command(program: str, argv: Sequence[str]) -> None:
    """Runs the command; raises what `read_packed` does, with the file's name, OSError if the original cannot be
    written, ValueError if it would replace the packed file."""
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
    destination(args.original)
    try:
        data = read_packed(args.packed, args.max_size)
    except PackedError as error:
        raise PackedError(f"{args.packed}: {error}") from error
    distinct(args.packed, args.original)
    write_atomically(args.original, data)  # a device may lose its power
