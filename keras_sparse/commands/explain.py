"""`keras-sparse explain`."""

from pathlib import Path
from typing import Annotated

import typer

from keras_sparse import target as targets
from keras_sparse.commands.shell import IMPORT, JSON, QUANTIZE, TARGET, busy, model_or_file, show


def explain(
    file: Annotated[Path, typer.Argument(help="A .keras, .tflite or .onnx file.")],
    target: TARGET,
    quantize: QUANTIZE = None,
    modules: IMPORT = None,
    as_json: JSON = False,
):
    """Show what a target runs for every layer, which zeros would pay there and from where on, and why not.

    The exit code is 1 where the runtime gets a layer of the file wrong.
    """
    targets.named(target)
    with busy("Reading the file"):
        import keras_sparse as ks

        report = ks.explain(model_or_file(file, modules), target, quantize)
    show(report.to_dict() if as_json else report)
    if report.faults:
        raise typer.Exit(1)
