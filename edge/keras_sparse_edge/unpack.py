"""`python -m keras_sparse_edge unpack model.tflite.pack model.tflite`: the original of a packed file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from keras_sparse_edge.atomic import destination, distinct, write_atomically
from keras_sparse_edge.packed import read_packed


def unpack_command(program: str, argv: Sequence[str]) -> None:
    """Runs the command; raises what `read_packed` does, OSError if the original cannot be written, ValueError if it
    would replace the packed file."""
    parser = argparse.ArgumentParser(program, description="Unpack a model file that keras_sparse packed.")
    parser.add_argument("packed", help="the packed file")
    parser.add_argument("original", help="where to")
    args = parser.parse_args(argv)
    destination(args.original)
    data = read_packed(args.packed)
    distinct(args.packed, args.original)
    write_atomically(args.original, data)  # a device may lose its power
