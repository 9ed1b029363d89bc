"""What the demo says while it works: numbered steps, and bars that move or, where there is no terminal, lines."""

import contextlib
import time

import keras
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

INTERVAL = 5.0
"""Seconds between the lines of a bar that is not on a terminal."""


class Steps:
    """Numbers the steps of a job on a `rich.console.Console`."""

    def __init__(self, console, total):
        self.console, self.total, self.done = console, total, 0

    def step(self, title):
        self.done += 1
        self.console.print(f"\n[bold][{self.done}/{self.total}] {title}[/bold]", soft_wrap=True)

    def line(self, text):
        self.console.print(f"  {text}", soft_wrap=True, markup=False)

    @contextlib.contextmanager
    def bar(self, label, total):
        """Yields `show(done, note="")`, to be called as the work goes on."""
        if not self.console.is_terminal:
            yield _Lines(self.line, label, total)
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(label, total=total, note="")
            yield lambda done, note="": progress.update(task, completed=done, note=note)


class _Lines:
    def __init__(self, line, label, total):
        self.line, self.label, self.total = line, label, total
        self.started = self.last = time.monotonic()
        self.first = None  # (time, done) when the work was under way: it may begin with tracing a model

    def __call__(self, done, note=""):
        now = time.monotonic()
        self.first = self.first or (now, done)
        if now - self.last >= INTERVAL:
            self.last = now
            said = f"{self.label} {done}/{self.total} {note}".rstrip()
            before, first = self.first[0] - self.started, self.first[1]
            self.line(f"{said} ({left(now - self.started, done, self.total, before, first)})")


def left(elapsed, done, total, before=0.0, first=0):
    """How long it took, and is about to take at the speed since `before`, when `first` was done; not said too early.

    >>> left(30, 1, 4), left(3, 0, 4), left(30, 2, 4, 20, 1)
    ('0:30, about 1:30 left', '0:03', '0:30, about 0:20 left')
    """
    if done <= first:
        return clock(elapsed)
    return f"{clock(elapsed)}, about {clock((elapsed - before) * (total - done) / (done - first))} left"


def clock(seconds):
    """
    >>> clock(8), clock(83.5), clock(3600)
    ('0:08', '1:24', '60:00')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


class FitProgress(keras.callbacks.Callback):
    """Shows a `fit`: a bar over all its steps, and a line for each epoch. Put it after `Sparsify`, to see its logs."""

    def __init__(self, steps):
        super().__init__()
        self.steps, self.bars = steps, contextlib.ExitStack()

    def on_train_begin(self, logs=None):
        self.seen, self.epoch, self.note, self.began = 0, 0, "", time.monotonic()
        total = self.params["steps"] * self.params["epochs"]
        self.show = self.bars.enter_context(self.steps.bar("step", total))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        self.seen = self.epoch * self.params["steps"] + batch + 1
        # Read now and then only: each look at a value waits for the step.
        if batch % 10 == 0 and logs:
            self.note = f"loss {logs['loss']:.3f}, accuracy {100 * logs['accuracy']:.1f} %"
        self.show(self.seen, self.note)

    def on_test_batch_end(self, batch, logs=None):
        self.show(self.seen, "testing")

    def on_epoch_end(self, epoch, logs=None):
        sparsity = f", zeros {100 * logs['sparsity']:.2f} %" if "sparsity" in logs else ""
        self.steps.line(
            f"epoch {epoch + 1:2}/{self.params['epochs']}: loss {logs['loss']:.3f}, "
            f"accuracy {100 * logs['accuracy']:.2f} %, on the test set {100 * logs['val_accuracy']:.2f} %{sparsity}, "
            f"{left(time.monotonic() - self.began, epoch + 1, self.params['epochs'])}"
        )

    def on_train_end(self, logs=None):
        self.bars.close()
