"""When an offer pays, and from where on; literal evidence."""

from __future__ import annotations

import dataclasses

import pytest

from keras_sparse.pattern import NofM, Unstructured
from keras_sparse.targets.contract import NO_WORSE, Offer, Target, Verdict, dense
from keras_sparse.targets.evidence import MEASURED, Evidence
from keras_sparse.targets.network import DENSE, INT8, Layer


def evidence(*points: tuple[float, float]) -> Evidence:
    return Evidence(MEASURED, against="dense int8", source="here", repeat="", points=points)


FASTER = evidence((0.5, 0.5), (0.75, 1.0), (1.0, 2.0))
SLOWER = evidence((0.5, 0.4), (1.0, 0.9))
LATER = evidence((0.5, 0.8), (0.9, 1.0), (1.0, 1.5))


def offer(*found: Evidence, sparsity: float = 0.9, unmeasured: tuple[str, ...] = ()) -> Offer:
    return Offer(Unstructured(sparsity), "kernel", found, unmeasured)


def test_the_sparsity_is_that_of_the_pattern() -> None:
    assert offer(FASTER, sparsity=0.8).sparsity == 0.8
    assert Offer(NofM(1, 4), "kernel", ()).sparsity == 0.75


@pytest.mark.parametrize(
    ("found", "at"), [((FASTER,), 0.75), ((FASTER, LATER), 0.9), ((FASTER, SLOWER), None), ((), None)]
)
def test_the_break_even_is_the_last_one_of_all_conditions(found: tuple[Evidence, ...], at: float | None) -> None:
    assert offer(*found).break_even == at


@pytest.mark.parametrize(
    ("made", "pays"),
    [
        (offer(FASTER), True),
        (offer(FASTER, LATER), True),  # at 0.9 one is faster, and the other as fast
        (offer(FASTER, sparsity=0.6), False),
        (offer(FASTER, SLOWER), False),
        (offer(FASTER, unmeasured=("AArch64",)), False),
        (offer(), False),
        (offer(evidence((0.5, 1.0), (1.0, 1.0))), False),  # nowhere faster
        (offer(evidence((0.5, NO_WORSE), (1.0, NO_WORSE)), FASTER), True),
        (offer(evidence((0.5, 0.97), (1.0, 0.97)), FASTER), False),
    ],
)
def test_it_pays_where_it_is_faster_somewhere_and_slower_nowhere(made: Offer, pays: bool) -> None:
    assert made.pays is pays


def test_a_target_reads_its_own_files() -> None:
    class Mine(Target):
        name, suffix, schemes, about = "mine", ".mine", (INT8,), "one of them"

        def verdicts(self, network: object) -> tuple[Verdict, ...]:
            return ()

    assert Mine().reads(".mine") and not Mine().reads(".tflite") and repr(Mine()) == "<target mine>"
    with pytest.raises(TypeError, match="abstract"):
        Target()  # type: ignore[abstract]


def test_verdicts_are_values() -> None:
    verdict = Verdict("dense int8")
    assert (verdict.offer, verdict.reasons, verdict.fault) == (None, (), None)
    assert dataclasses.replace(verdict, fault="wrong") != verdict
    assert dense(Layer("k", DENSE, "Dense", 1, 8, 8, INT8)) == "dense int8"
