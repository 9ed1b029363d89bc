"""`keras-sparse bench`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from keras_sparse import target
from keras_sparse.commands.shell import JSON, busy, exists, show


def bench(
    files: Annotated[list[Path], typer.Argument(help=".tflite or .onnx files; the first one is the baseline.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each file has its turn.")] = 200,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each runtime.")] = 1,
    native: Annotated[
        bool | None, typer.Option(help="With the native INT8 kernels or without; by default where they can be had.")
    ] = None,
    as_json: JSON = False,
):
    """Time files against each other, with size and memory."""
    for file in files:
        target.find(file)
    exists(*files)
    with busy("Loading"):
        import keras_sparse as ks
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Measuring memory")

        def advance(done, total):
            progress.update(task, description="Timing, round", completed=done, total=total)

        report = ks.benchmark(files, rounds=rounds, threads=threads, progress=advance, native=native)
    show(report.to_dict() if as_json else report)
