"""What subcommands share: options, errors in the words of the shell, output."""

import contextlib
import importlib
import importlib.util
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
IMPORT = Annotated[
    list[str] | None,
    typer.Option(
        "--import", help="A module, or a .py file, that registers the model's own classes with Keras; may come again."
    ),
]
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


def model_or_file(path, modules=None):
    """The Keras model in a `.keras` file, or the path of any other one."""
    exists(path)
    return model(path, modules) if path.suffix == ".keras" else path


def model(path, modules=None):
    """The Keras model in a `.keras` file, after the modules that know its classes are imported."""
    from keras_sparse.exporting import keras_file

    for name in modules or ():
        _import(name)
    try:
        return keras_file.read(path)
    except ValueError as error:
        if "register_keras_serializable" not in str(error):
            raise
        advice = "Name the module or the .py file that registers it: --import MODULE"
        raise CommandError(f"{' '.join(str(error).split())[:MOST]} ... {advice}") from error


MOST = 300
"""Characters of Keras's own words before the advice."""


def _import(name):
    """Imports a module by its name, from the working folder too, or a file by its path."""
    try:
        if not name.endswith(".py"):
            if "" not in sys.path:
                sys.path.insert(0, "")
            importlib.import_module(name)
            return
        path = Path(name)
        exists(path)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(path.stem, module)
        spec.loader.exec_module(module)
    except FileNotFoundError:
        raise
    except Exception as error:  # whatever the user's own code raises
        raise CommandError(f"--import {name}: {type(error).__name__}: {error}") from error
