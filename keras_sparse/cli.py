"""The command `keras-sparse`: each of its subcommands is one call of the library."""

import contextlib
import dataclasses
import faulthandler
import json
import logging
import os
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported

import typer
from rich.console import Console
from rich.progress import Progress
from typer.core import TyperGroup

from keras_sparse import target
from keras_sparse.versions import __version__

PROGRAM = "keras-sparse"
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, in every shell."""

NOT_JUDGED = 3
"""The exit code of `verify` where no tolerance follows: what was not judged is not verified."""

SHOWN = 500
"""Characters of an error that are shown; Keras puts whole configurations into some."""

USAGE = typer.BadParameter.__mro__[1]  # click's UsageError, which newer versions of typer ship themselves
GIVEN = OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, EOFError, MemoryError
EXPECTED = (*GIVEN, zipfile.BadZipFile, zlib.error)
"""What the library, Keras, NumPy and the runtimes raise for what they were given."""


class CommandError(Exception):
    """An error of a command, worded for the one who typed it."""


class Group(TyperGroup):
    """Puts every error on one line, and takes `--debug` anywhere."""

    def main(self, args=None, prog_name=None, standalone_mode=True, **extra):
        words = list(sys.argv[1:] if args is None else args)
        own = words.index("--") if "--" in words else len(words)
        debug = "--debug" in words[:own]
        words = [word for word in words[:own] if word != "--debug"] + words[own:]
        code = self._run(words, debug, extra)
        if standalone_mode:
            sys.exit(code)
        return code

    def _run(self, words, debug, extra):
        try:
            if not words:
                words = ["--help"]
            code = super().main(words, prog_name=PROGRAM, standalone_mode=False, **extra) or 0
            return _fail("interrupted", INTERRUPTED) if code == INTERRUPTED else code
        except USAGE as error:
            return _fail(error.format_message(), 2)
        except (KeyboardInterrupt, typer.Abort):
            return _fail("interrupted", INTERRUPTED)
        except (CommandError, *EXPECTED, *_tensorflow_errors()) as error:
            if debug:
                raise
            return _fail(_worded(error), 1)


def _fail(message, code):
    print(f"{PROGRAM}: error: {message}", file=sys.stderr)
    return code


def _worded(error):
    text = " ".join(str(error).split())
    if not text or isinstance(error, LookupError | AttributeError | MemoryError):
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... (--debug shows all of it)"


def _tensorflow_errors():
    """TensorFlow's errors have a base class of their own; there is none to catch before it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return (tensorflow.errors.OpError,) if hasattr(tensorflow, "errors") else ()


app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SAMPLES = Annotated[
    Path | None, typer.Option(help="Inputs of the model: .npy, or .npz for several; items along the first axis.")
]


def _version(wanted: bool):
    if wanted:
        print(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")] = False,
):
    """Prune and quantize Keras models, and export files that were verified in their runtime."""


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of the IDX files; default: the best copy there is.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("keras-sparse-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A smoke run: few images, bars not judged.")] = False,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each of the two fits.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of all random numbers.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a bar is missed.")] = False,
):
    """Train, prune, quantize and export a small CNN on Fashion-MNIST."""
    console = Console(highlight=False)
    from keras_sparse.demo import run, summary

    found = run.run(run.Options(data=data, out=out, quick=quick, epochs=epochs, seed=seed), console)
    summary.show(found, console)
    if strict and found.judged and not found.holds:
        raise typer.Exit(1)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A .keras file: plain, or trained with a recipe.")],
    out: Annotated[Path, typer.Argument(help="The file to write, .tflite or .onnx.")],
    samples: SAMPLES = None,
    quantize: Annotated[str | None, typer.Option(help='"int8": calibrate a float model with the samples.')] = None,
    as_json: JSON = False,
):
    """Write a .keras model as a verified .tflite or .onnx file."""
    target.find(out)
    if quantize is not None and samples is None:
        raise CommandError(f"--quantize {quantize} measures the ranges of activations: it needs --samples")
    with _busy("Loading the model"):
        import keras_sparse as ks
        from keras_sparse.exporting import keras_file
        from keras_sparse.exporting.samples import read as read_samples

        given = None if samples is None else read_samples(samples)
        loaded = keras_file.read(model)
    if isinstance(given, dict):
        given = _in_order(given, loaded, model, samples)
    with _busy(f"Exporting {out.name}"):
        artifact = ks.export(loaded, out, samples=given, quantize=quantize)
    _print({"path": str(out), "target": artifact.target, **artifact.report.to_dict()} if as_json else artifact)


@app.command()
def sparsity(
    file: Annotated[Path, typer.Argument(help="A .keras, .tflite or .onnx file.")],
    recipe: Annotated[
        Path | None, typer.Option(help="A recipe (YAML) to hold a .keras model against; exit with 1 if it is broken.")
    ] = None,
    as_json: JSON = False,
):
    """Show the zeros of every kernel and their patterns."""
    _exists(file)
    if recipe is not None and file.suffix != ".keras":
        raise CommandError(f"A recipe names the kernels of a .keras model. Received: --recipe with {file}")
    with _busy("Reading the file"):
        import keras_sparse as ks
        from keras_sparse.exporting import keras_file

        rules = None if recipe is None else ks.Recipe.load(recipe)
        report = ks.sparsity(keras_file.read(file) if file.suffix == ".keras" else file, rules)
    _print(report.to_dict() if as_json else report)
    if any(kernel.broken for kernel in report.kernels):
        raise typer.Exit(1)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="The .tflite or .onnx file to verify.")],
    reference: Annotated[Path, typer.Argument(help="What it should compute: a .keras, .tflite or .onnx file.")],
    samples: SAMPLES = None,
    agreement: Annotated[
        float | None, typer.Option(min=0, max=1, help="Fail if the highest output is the same on fewer (a fraction).")
    ] = None,
    as_json: JSON = False,
):
    """Compare what a file computes with a reference.

    The file runs in its runtime; where its outputs differ too much, the exit code is 1. The tolerance follows from how
    both compute. Where none does (an int8 file against a float reference), only --agreement judges; without it the
    exit code is 3.
    """
    target.find(file)
    _exists(file, reference)
    with _busy("Verifying"):
        from keras_sparse.exporting import keras_file
        from keras_sparse.exporting.samples import read as read_samples
        from keras_sparse.exporting.verify import verify as verify_file

        given = None if samples is None else read_samples(samples)
        against = keras_file.read(reference) if reference.suffix == ".keras" else reference
        report = verify_file(file, against, given)
        report = dataclasses.replace(report, reference=str(reference))
    _print(report.to_dict() if as_json else report)
    least = min((each.agreement for each in report.comparisons if each.agreement is not None), default=None)
    if agreement is not None:
        if least is None:
            raise CommandError("--agreement needs one output of class scores; this file has others.")
        if least < agreement:
            raise CommandError(f"The highest output is the same on {least:.4f} of the samples; asked for: {agreement}")
    if report.passed is False or (report.passed is None and agreement is None):
        raise typer.Exit(NOT_JUDGED if report.passed is None else 1)


@app.command()
def bench(
    files: Annotated[list[Path], typer.Argument(help=".tflite or .onnx files; the first one is the baseline.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each file has its turn.")] = 200,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each runtime.")] = 1,
    as_json: JSON = False,
):
    """Time files against each other, with size and memory."""
    for file in files:
        target.find(file)
    _exists(*files)
    with _busy("Loading"):
        import keras_sparse as ks
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Measuring memory")

        def show(done, total):
            progress.update(task, description="Timing, round", completed=done, total=total)

        report = ks.benchmark(files, rounds=rounds, threads=threads, progress=show)
    _print(report.to_dict() if as_json else report)


def _print(result):
    print(json.dumps(result, indent=2) if isinstance(result, dict) else result)


def _busy(text):
    """Shows, on a terminal, that work goes on."""
    return Console(stderr=True).status(f"{text} ...") if sys.stderr.isatty() else contextlib.nullcontext()


def _in_order(named, model, path, samples):
    """Samples by name in the structure of the model's inputs."""
    import keras

    names = [tensor.name for tensor in model.inputs or ()]
    if set(named) != set(names):
        raise CommandError(f"The inputs of {path} are {names}. {samples} holds: {sorted(named)}")
    return keras.tree.pack_sequence_as(model.input, [named[name] for name in names])


def _exists(*paths):
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {path}")


@contextlib.contextmanager
def _quiet_libraries():
    """Hides what native libraries write to file descriptor 2, which no option of theirs silences.

    Python's own stderr goes where it went; so does a crash of a library.
    """
    outside = os.dup(2)
    with open(outside, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace") as stderr:
        before, sys.stderr = sys.stderr, stderr
        faulthandler.enable(stderr)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)
        for name in ("tensorflow", "absl"):
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            os.dup2(outside, 2)
            faulthandler.disable()
            sys.stderr = before


def main():
    """The console script."""
    with contextlib.nullcontext() if "--debug" in sys.argv else _quiet_libraries():
        app()
