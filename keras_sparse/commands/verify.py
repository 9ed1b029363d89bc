"""`keras-sparse verify`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from keras_sparse import target
from keras_sparse.commands.shell import IMPORT, JSON, SAMPLES, CommandError, busy, exists, model_or_file, show

NOT_JUDGED = 3
"""The exit code where no tolerance follows: what was not judged is not verified."""


def verify(
    file: Annotated[Path, typer.Argument(help="The .tflite or .onnx file to verify.")],
    reference: Annotated[Path, typer.Argument(help="What it should compute: a .keras, .tflite or .onnx file.")],
    samples: SAMPLES = None,
    agreement: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fail if the highest output is the same on fewer (a fraction).")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--target", help="What the file is for; by default its suffix says.")
    ] = None,
    vnni_only: Annotated[
        bool,
        typer.Option("--vnni-only", help="Judge .onnx for processors that do not cut off int8 sums: VNNI, ARM64."),
    ] = False,
    modules: IMPORT = None,
    as_json: JSON = False,
):
    """Compare what a file computes with a reference.

    The file runs in its runtime; where its outputs differ too much, the exit code is 1. The tolerance follows from how
    both compute. Where none does (an int8 file against a float reference), only --agreement judges; without it the
    exit code is 3.
    """
    target.find(file, to)
    exists(file, reference)
    with busy("Verifying"):
        from keras_sparse.exporting.samples import read as read_samples
        from keras_sparse.exporting.verify import verify as verify_file

        given = None if samples is None else read_samples(samples)
        against = model_or_file(reference, modules)
        report = verify_file(file, against, given, to, not vnni_only)
        report = dataclasses.replace(report, reference=str(reference))
    show(report.to_dict() if as_json else report)
    least = min((each.agreement for each in report.comparisons if each.agreement is not None), default=None)
    if agreement is not None:
        if least is None:
            raise CommandError("--agreement needs one output of class scores; this file has others.")
        if least < agreement:
            raise CommandError(f"The highest output is the same on {least:.4f} of the samples; asked for: {agreement}")
    if report.passed is False or (report.passed is None and agreement is None):
        raise typer.Exit(NOT_JUDGED if report.passed is None else 1)
