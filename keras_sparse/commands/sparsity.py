"""`keras-sparse sparsity`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse.commands.shell import IMPORT, JSON, CommandError, busy, exists, model_or_file, show


def sparsity(
    file: Annotated[Path, typer.Argument(help="A .keras, .tflite or .onnx file.")],
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe (YAML) to hold a .keras model against; exit with 1 if it is broken.")
    ] = None,
    modules: IMPORT = None,
    as_json: JSON = False,
):
    """Show the zeros of every kernel and their patterns."""
    exists(file)
    if recipe is not None and file.suffix != ".keras":
        raise CommandError(f"A recipe names the kernels of a .keras model. Received: --recipe with {file}")
    with busy("Reading the file"):
        import keras_sparse as ks

        rules = None if recipe is None else ks.Recipe.load(recipe)
        report = ks.sparsity(model_or_file(file, modules), rules)
    show(report.to_dict() if as_json else report)
    if any(kernel.broken for kernel in report.kernels):
        raise typer.Exit(1)
