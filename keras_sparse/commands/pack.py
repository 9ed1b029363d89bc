"""`keras-sparse pack` and `unpack`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse.commands.shell import JSON, busy, exists, show


def pack(
    file: Annotated[Path, typer.Argument(help="A .tflite or .onnx file.")],
    out: Annotated[Path, typer.Argument(help="The packed file to write.")],
    as_json: JSON = False,
):
    """Pack a file near its entropy, without loss."""
    exists(file)
    with busy(f"Packing {file.name}"):
        from keras_sparse.packing.pack import pack as pack_file  # without Keras, which takes seconds to load

        report = pack_file(file, out)
    show(report.to_dict() if as_json else report)


def unpack(
    file: Annotated[Path, typer.Argument(help="A packed file.")],
    out: Annotated[Path, typer.Argument(help="Where to write the file that was packed.")],
    max_size: Annotated[
        int | None,
        typer.Option(min=1, help="Refuse a file of more bytes before it takes memory; by default 2 GiB, the format's."),
    ] = None,
):
    """Write the file that was packed, the same bytes."""
    exists(file)
    with busy(f"Unpacking {file.name}"):
        from keras_sparse.packing.unpack import unpack as unpack_file

        unpack_file(file, out, **({} if max_size is None else {"max_size": max_size}))
    print(f"{out}: {out.stat().st_size} bytes")
