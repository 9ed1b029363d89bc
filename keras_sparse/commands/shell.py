"""What subcommands share: options, errors in the words of the shell, output."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SAMPLES = Annotated[
    Path | None, typer.Option(help="Inputs of the model: .npy, or .npz for several; items along the first axis.")
]

TARGET = Annotated[str, typer.Option(help="What runs the file, such as litert-arm64; an unknown one lists all.")]
QUANTIZE = Annotated[
    str | None,
    typer.Option(help='"int8", calibrated with the samples; "int8-weights"; "float16"; by default what training did.'),
]


class CommandError(Exception):
    """An error of a command, worded for the one who typed it."""


def show(result):
    """Prints a report, or JSON for a dictionary."""
    print(json.dumps(result, indent=2) if isinstance(result, dict) else result)


def busy(text):
    """Shows, on a terminal, that work goes on."""
    return Console(stderr=True).status(f"{text} ...") if sys.stderr.isatty() else contextlib.nullcontext()


def exists(*paths):
    """Raises FileNotFoundError for the first path that is no file."""
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}")


def model_or_file(path):
    """The Keras model in a `.keras` file, or the path of any other one."""
    from keras_sparse.exporting import keras_file

    exists(path)
    return keras_file.read(path) if path.suffix == ".keras" else path
