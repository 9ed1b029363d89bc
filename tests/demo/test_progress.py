"""What is shown while the demo works, on a terminal and without one."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
from rich.console import Console

from keras_sparse.demo import progress


def steps(terminal: bool = False) -> progress.Steps:
    return progress.Steps(Console(file=io.StringIO(), force_terminal=terminal, width=60, highlight=False), 3)


def said(each: progress.Steps) -> str:
    return each.console.file.getvalue()


def test_steps_are_numbered_and_lines_are_not_wrapped_or_read_as_markup() -> None:
    shown = steps()
    shown.step("first")
    shown.step("second " * 20)
    shown.line("[b] " + "x" * 100)
    assert said(shown).splitlines()[:2] == ["", "[1/3] first"]
    assert f"[2/3] {'second ' * 20}".rstrip() in said(shown)
    assert "  [b] " + "x" * 100 + "\n" in said(shown)


def test_without_a_terminal_a_bar_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    shown = steps()
    with shown.bar("round", 9) as show:
        show(1)
        show(2, "note")
        show(3)
        show(4)
    assert said(shown) == "  round 2/9 note (0:06, about 0:35 left)\n  round 4/9 (0:12, about 0:18 left)\n"


def test_on_a_terminal_it_is_a_bar() -> None:
    shown = steps(terminal=True)
    with shown.bar("round", 9) as show:
        show(9, "a note")
    assert "9/9" in said(shown) and "a note" in said(shown)


@pytest.mark.parametrize("terminal", [False, True])
def test_fit_progress_has_a_line_for_each_epoch(terminal: bool) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], jit_compile=False)
    x, y = np.random.rand(20, 2), np.random.randint(0, 3, 20)
    shown = steps(terminal)
    model.fit(x, y, batch_size=5, epochs=2, validation_data=(x, y), verbose=0, callbacks=[progress.FitProgress(shown)])
    lines = [line for line in said(shown).splitlines() if "epoch" in line]
    assert len(lines) == 2
    assert "epoch  1/2: loss " in lines[0] and "on the test set" in lines[0] and "zeros" not in lines[0]
    assert ", about 0:0" in lines[0] and lines[0].endswith(" left") and lines[1].endswith("about 0:00 left")
