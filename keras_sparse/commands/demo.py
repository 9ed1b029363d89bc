"""`keras-sparse demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

INCOMPLETE = 3
"""The exit code where something after the training failed; the rest was made and shown."""


def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of the IDX files; default: the best copy there is.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("keras-sparse-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A smoke run: few images, bars not judged.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each of the two fits.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random numbers.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a bar is missed.")] = False,
):
    """Train, prune, quantize and export a small CNN on Fashion-MNIST.

    Exits with 0; with 3 if a file or figure failed, the rest being made and shown; with 1 if nothing could be, or with
    --strict if a bar is missed.
    """
    console = Console(highlight=False)
    from keras_sparse.demo import run, summary

    found = run.run(run.Options(data=data, out=out, quick=quick, epochs=epochs, seed=seed), console)
    summary.show(found, console)
    if found.failures:
        raise typer.Exit(INCOMPLETE)
    if strict and found.judged and not found.holds:
        raise typer.Exit(1)
