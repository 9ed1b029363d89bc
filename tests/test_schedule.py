"""When: progress, updates, fractions. The contract is held against every schedule that YAML knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.recipe import SCHEDULES, _construct
from keras_sparse.schedule import Constant, Cubic, Linear, OneShot, Schedule, check_step, resolve_step


def fields(cls: type) -> list[str]:
    return [field.name for field in dataclasses.fields(cls)]


RAMPS = [cls for cls in SCHEDULES.values() if {"begin", "end"} <= set(fields(cls))]
steps = st.integers(0, 300)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Any schedule, in optimizer steps: its times in order, and the interval where it has one."""
    cls = draw(st.sampled_from(sorted(SCHEDULES.values(), key=lambda each: each.__name__)))
    arguments = dict(zip(cls.times, sorted(draw(st.lists(steps, min_size=2, max_size=2))), strict=False))
    if "every" in fields(cls):
        arguments["every"] = draw(st.integers(1, 400))
    schedule = cls(**arguments)
    assert isinstance(schedule, Schedule)
    return schedule


def test_the_schedules_are_found() -> None:
    assert {"OneShot", "Constant", "Linear", "Cubic"} <= set(SCHEDULES)
    assert {cls.__name__ for cls in RAMPS} >= {"Linear", "Cubic"}


@given(schedules(), st.integers(0, 700))
def test_progress_is_within_0_and_1_and_never_falls(schedule: Schedule, step: int) -> None:
    assert 0.0 <= schedule.progress(step) <= schedule.progress(step + 1) <= 1.0
    assert type(schedule.progress(step)) is float


@given(schedules())
def test_progress_is_1_at_the_last_update_and_after(schedule: Schedule) -> None:
    assert schedule.progress(schedule.final_step) == 1.0
    assert schedule.progress(schedule.final_step + 1000) == 1.0


@given(schedules())
def test_progress_is_0_before_the_first_update(schedule: Schedule) -> None:
    first = next(step for step in range(10_000) if schedule.last_update(step) is not None)
    assert all(schedule.progress(step) == 0.0 for step in range(first))
    assert all(schedule.last_update(step) is None for step in range(first))


@given(schedules(), st.integers(-1, 400), st.integers(0, 400))
def test_due_is_the_newest_update_after_last_and_up_to_step(schedule: Schedule, last: int, jump: int) -> None:
    step = last + jump
    updates = [each for each in range(step + 1) if schedule.last_update(each) == each]
    wanted = [each for each in updates if last < each <= step]
    assert schedule.due(last, step) == (wanted[-1] if wanted else None)


@given(schedules(), st.lists(st.integers(1, 50), min_size=30, max_size=30))
def test_the_last_update_is_never_missed(schedule: Schedule, jumps: list[int]) -> None:
    """However the steps are seen, the newest one carried out at the end is the final one, with progress 1."""
    last, step = -1, 0
    carried = []
    for jump in [0, *jumps]:
        step += jump
        due = schedule.due(last, step)
        if due is not None:
            assert last < due <= step
            last = due
            carried.append(schedule.progress(due))
        assert schedule.due(last, step) is None  # none is carried out twice
    assert carried == sorted(carried)
    if step >= schedule.final_step:
        assert (last, carried[-1]) == (schedule.final_step, 1.0)


@pytest.mark.parametrize("cls", RAMPS)
@given(begin=steps, length=st.integers(0, 300), every=st.integers(1, 400))
def test_a_ramp_updates_at_begin_every_so_often_and_at_end(
    cls: Callable[..., Schedule], begin: int, length: int, every: int
) -> None:
    ramp = cls(begin=begin, end=begin + length, every=every)
    updates = [step for step in range(begin + length + 50) if ramp.last_update(step) == step]
    assert updates == sorted({*range(begin, begin + length, every), begin + length})


@pytest.mark.parametrize("cls", RAMPS)
@pytest.mark.parametrize("step", [0, 4, 5, 6])
def test_begin_may_be_end(cls: Callable[..., Schedule], step: int) -> None:
    """TFMOT's PolynomialDecay gives NaN here."""
    assert cls(begin=5, end=5).progress(step) == float(step >= 5)


@pytest.mark.parametrize(
    ("schedule", "progress"),
    [
        (Linear(10, 20), {0: 0.0, 10: 0.0, 11: 0.1, 15: 0.5, 20: 1.0, 99: 1.0}),
        (Cubic(10, 20), {0: 0.0, 10: 0.0, 11: 0.271, 15: 0.875, 19: 0.999, 20: 1.0, 99: 1.0}),
        (OneShot(3), {0: 0.0, 2: 0.0, 3: 1.0, 4: 1.0}),
        (Constant(), {0: 1.0, 7: 1.0}),
    ],
    ids=str,
)
def test_progress_literally(schedule: Schedule, progress: dict[int, float]) -> None:
    assert {step: schedule.progress(step) for step in progress} == pytest.approx(progress, abs=1e-12)


def test_updates_literally() -> None:
    ramp = Cubic(2, 9, every=3)
    assert [ramp.last_update(step) for step in range(12)] == [None, None, 2, 2, 2, 5, 5, 5, 8, 9, 9, 9]
    assert ramp.due(-1, 1) is None
    assert ramp.due(-1, 4) == 2
    assert ramp.due(2, 8) == 8  # the one at 5 counts as made
    assert ramp.due(5, 7) is None
    assert ramp.due(8, 100) == 9
    assert ramp.final_step == 9


@pytest.mark.parametrize(
    ("value", "origin", "total", "step"),
    [
        (0.0, 0, 200, 0),
        (1.0, 0, 200, 200),
        (0.5, 0, 200, 100),
        (0.1, 0, 8, 1),
        (1.0, 37, 200, 237),
        (0.0, 37, 200, 37),
        (120, 37, 200, 120),  # an int counts the optimizer's steps, whatever the fit
        (120, 37, None, 120),
        (1, 0, 200, 1),
        (0.0, -30, 50, 0),  # the start of the fit, or of the optimizer if that is later
        (0.0, 37, None, 37),  # known without the length of the fit
    ],
)
def test_a_step_is_resolved(value: int | float, origin: int, total: int | None, step: int) -> None:
    assert resolve_step(value, origin, total) == step
    assert type(resolve_step(value, origin, total)) is int


@pytest.mark.parametrize(("value", "origin", "total"), [(0.5, 0, None), (0.5, None, None), (0.0, None, None)])
def test_a_fraction_needs_the_length_of_the_fit(value: float, origin: int | None, total: int | None) -> None:
    with pytest.raises(ValueError, match=rf"{value} is a fraction.*steps_per_epoch.*int"):
        resolve_step(value, origin, total)


def test_a_fraction_needs_the_steps_of_the_epochs_before() -> None:
    with pytest.raises(ValueError, match=r"0\.5 is a fraction.*30 steps fewer.*initial_epoch"):
        resolve_step(0.5, -30, 50)


def test_a_schedule_is_resolved() -> None:
    assert Cubic(0.1, 0.6, every=7).resolve(0, 1000) == Cubic(100, 600, every=7)
    assert Cubic(5, 1.0).resolve(3, 20) == Cubic(5, 23)
    assert OneShot(0.5).resolve(0, 9) == OneShot(4)
    assert Constant().resolve(0, None) == Constant()


@given(schedules(), st.integers(0, 100))
def test_resolving_steps_changes_nothing(schedule: Schedule, origin: int) -> None:
    assert schedule.resolve(origin, None) == schedule


def test_times_of_two_kinds_are_compared_once_they_are_steps() -> None:
    with pytest.raises(ValueError, match="begin must not come after end"):
        Linear(begin=50, end=0.5).resolve(0, 60)


@pytest.mark.parametrize("cls", RAMPS)
@pytest.mark.parametrize("times", [(5, 4), (0.5, 0.4)])
def test_a_ramp_backwards_is_refused(cls: Callable[..., Schedule], times: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="begin must not come after end"):
        cls(*times)


@pytest.mark.parametrize("every", [0, -1, 2.0, True, None, "3"])
@pytest.mark.parametrize("cls", RAMPS)
def test_a_wrong_interval_is_refused(cls: Callable[..., Schedule], every: object) -> None:
    with pytest.raises(ValueError, match=r"every .*at least 1.*Received: every="):
        cls(0, 10, every=every)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (-1, ValueError, "must not be negative"),
        (1.5, ValueError, r"fraction.*\[0, 1\].*write an int"),
        (-0.1, ValueError, r"\[0, 1\]"),
        (float("nan"), ValueError, r"\[0, 1\]"),
        (float("inf"), ValueError, r"\[0, 1\]"),
        (True, TypeError, "int .*or a float"),
        ("0.5", TypeError, "int .*or a float"),
        (None, TypeError, "int .*or a float"),
    ],
)
@pytest.mark.parametrize("cls", [cls for cls in SCHEDULES.values() if cls.times])
def test_a_wrong_time_is_refused(
    cls: Callable[..., Schedule], value: object, error: type[Exception], words: str
) -> None:
    name = cls.times[-1]  # type: ignore[attr-defined]
    arguments = {each: 0 for each in cls.times} | {name: value}  # type: ignore[attr-defined]
    with pytest.raises(error, match=words) as caught:
        cls(**arguments)
    assert f"{name}={value!r}" in str(caught.value)


def test_numpy_numbers_become_plain_ones() -> None:
    """A sweep over np.linspace is common, and YAML does not know NumPy."""
    assert type(check_step("at", np.float64(0.5))) is float
    assert type(OneShot(np.float64(0.5)).at) is float
    with pytest.raises(TypeError):
        OneShot(np.int64(3))  # type: ignore[arg-type]


@given(schedules())
def test_a_dictionary_and_back(schedule: Schedule) -> None:
    data = schedule.to_dict()
    assert data["name"] == type(schedule).__name__
    assert _construct("schedule", data, SCHEDULES, "name") == schedule


def test_a_schedule_is_frozen_and_hashable() -> None:
    assert hash(Cubic(0, 1)) == hash(Cubic(0, 1))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Cubic(0, 1).end = 2  # type: ignore[misc]
