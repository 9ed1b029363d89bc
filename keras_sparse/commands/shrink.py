"""`keras-sparse shrink`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse.commands.shell import JSON, CommandError, busy, exists, show


def shrink(
    file: Annotated[Path, typer.Argument(help="A .tflite file.")],
    out: Annotated[Path | None, typer.Argument(help="The file to write; by default FILE.shrunk.tflite.")] = None,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace FILE.")] = False,
    as_json: JSON = False,
):
    """Remove int8 channels that are the same for every input; outputs stay equal, bit for bit."""
    exists(file)
    if in_place and out is not None:
        raise CommandError(f"--in-place replaces {file}, and leaves no other file to write. Received: {out}")
    with busy(f"Shrinking {file.name}"):
        import keras_sparse as ks

        made = file if in_place else out or file.with_suffix(f".shrunk{file.suffix}")
        report = ks.shrink(file, made, in_place=in_place)
    show(report.to_dict() if as_json else report)
