"""The command `keras-sparse`: puts its subcommands together, and every error on one line."""

import contextlib
import faulthandler
import logging
import os
import sys
import zipfile
import zlib
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported

import typer
from typer.core import TyperGroup

from keras_sparse.commands import bench, demo, explain, export, pack, recommend, shrink, sparsity, verify
from keras_sparse.commands.shell import CommandError
from keras_sparse.versions import __version__

PROGRAM = "keras-sparse"
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, in every shell."""

SHOWN = 500
"""Characters of an error that are shown; Keras puts whole configurations into some."""

USAGE = typer.BadParameter.__mro__[1]  # click's UsageError, which newer versions of typer ship themselves
GIVEN = OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, ImportError, EOFError, MemoryError
EXPECTED = (*GIVEN, zipfile.BadZipFile, zlib.error)
"""What the library, Keras, NumPy and the runtimes raise for what they were given."""


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
    named = isinstance(error, OSError) and error.filename and error.strerror  # else with the number of the error
    text = " ".join((f"{error.filename}: {error.strerror}" if named else str(error)).split())
    if not text or isinstance(error, LookupError | AttributeError | MemoryError):
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ... (--debug shows all of it)"


def _tensorflow_errors():
    """TensorFlow's errors have a base class of their own; there is none to catch before it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    return (tensorflow.errors.OpError,) if hasattr(tensorflow, "errors") else ()


app = typer.Typer(cls=Group, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


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


COMMANDS = (
    demo.demo,
    explain.explain,
    recommend.recommend,
    export.export,
    sparsity.sparsity,
    verify.verify,
    bench.bench,
    pack.pack,
    pack.unpack,
    shrink.shrink,
)
for each in COMMANDS:
    app.command()(each)


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
