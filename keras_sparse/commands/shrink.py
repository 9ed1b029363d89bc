"""`keras-sparse shrink`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse.commands.shell import JSON, busy, exists, show


def shrink(
    file: Annotated[Path, typer.Argument(help="A .tflite file.")],
    out: Annotated[Path | None, typer.Argument(help="The file to write; by default FILE.shrunk.tflite.")] = None,
    as_json: JSON = False,
):
    """Remove int8 channels that are the same for every input; outputs stay equal, bit for bit."""
    exists(file)
    with busy(f"Shrinking {file.name}"):
        import keras_sparse as ks

        report = ks.shrink(file, out or file.with_suffix(f".shrunk{file.suffix}"))
    show(report.to_dict() if as_json else report)
