"""Steps after the training may fail: what failed is kept with its reason, and the rest goes on."""

import contextlib
from dataclasses import dataclass

SHOWN = 300
"""Characters of a reason that are kept."""


@dataclass(frozen=True)
class Failure:
    """What failed, a file by its name or a step in words, and why, on one line."""

    what: str
    why: str


class Attempts:
    """Collects `failures`, and says each on `steps` when it comes.

    >>> from rich.console import Console
    >>> from keras_sparse.demo.progress import Steps
    >>> attempts = Attempts(Steps(Console(), 1))
    >>> with attempts("model.onnx"):
    ...     raise ValueError("no such layer")
      FAILED: model.onnx: no such layer
    >>> attempts.failed("model.onnx"), attempts.failed("model.tflite")
    (True, False)
    """

    def __init__(self, steps):
        self.steps, self.failures = steps, []

    @contextlib.contextmanager
    def __call__(self, what, path=None):
        """Ends the block at an error, which then is a failure of `what`; a file of an earlier run at `path` is removed,
        so that nobody takes it for one of this run."""
        try:
            yield
        except Exception as error:  # of any library: one file must not take the training with it
            text = " ".join(str(error).split())
            if not text or isinstance(error, LookupError | MemoryError):
                text = f"{type(error).__name__}: {text}".rstrip(": ")
            self.add(what, text if len(text) <= SHOWN else f"{text[:SHOWN]} ...")
            if path is not None:
                path.unlink(missing_ok=True)

    def add(self, what, why):
        self.failures.append(Failure(what, why))
        self.steps.line(f"FAILED: {what}: {why}")

    def failed(self, what):
        return any(each.what == what for each in self.failures)
