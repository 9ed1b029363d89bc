"""One rule at work on its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.train import kernels, pruning

RULE = ks.Prune(ks.Unstructured(0.5), ks.Linear(0, 10, every=5))


@pytest.fixture
def model(mlp: Any) -> Any:
    return mlp()


@pytest.fixture
def one(model: Any) -> pruning.Pruning:
    made = pruning.Pruning(RULE, kernels.find(model))
    made.resolve(0, None)
    return made


def zeros(each: pruning.Pruning) -> list[int]:
    return list(each.zeros().values())


def test_updates_are_made_when_they_are_due(one: pruning.Pruning) -> None:
    assert zeros(one) == [0, 0]
    assert one.update(0)
    assert not one.update(4)
    assert zeros(one) == [0, 0]
    assert one.update(7)
    assert (zeros(one), one.last, one.finished) == ([12, 6], 5, False)
    assert not one.update(9)
    assert one.update(10)
    assert (zeros(one), one.last, one.finished) == ([24, 12], 10, True)
    assert not one.update(100)


def test_a_jump_over_several_updates_makes_the_newest(one: pruning.Pruning) -> None:
    assert one.update(1000)
    assert (zeros(one), one.finished) == ([24, 12], True)


def test_the_mask_is_the_lowest_scores_in_the_deployed_layout(one: pruning.Pruning) -> None:
    before = [kernel.matrices() for kernel in one.kernels]
    one.update(10)
    for kernel, matrices in zip(one.kernels, before, strict=True):
        mask = ks.Unstructured(0.5).mask(np.abs(matrices), 1.0)
        np.testing.assert_array_equal(kernel.matrices(), matrices * mask)


def test_there_is_a_mask_for_each_kernel_and_none_is_on_it(one: pruning.Pruning) -> None:
    assert [mask.variable for mask in one.masks] == [kernel.variable for kernel in one.kernels]
    assert all(kernel.variable.constraint is None for kernel in one.kernels)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_numbers_are_refused(one: pruning.Pruning, value: float) -> None:
    values = one.kernels[1].variable.numpy()
    values[0, 0] = value
    one.kernels[1].variable.assign(values)
    with pytest.raises(ValueError, match=r"dense2/kernel holds NaN or infinite weights at step 5"):
        one.update(6)


def test_resuming_checks_the_zeros_of_the_past(one: pruning.Pruning) -> None:
    with pytest.raises(ValueError, match=r"update of step 5 lies before this fit, which starts at optimizer step 7"):
        one.update(7, resuming=True)
    assert one.update(5, resuming=True)  # due now: made, not checked
    one.last = -1
    assert one.update(7, resuming=True)
    assert zeros(one) == [12, 6]


def test_rules_share_the_kernels_out(model: Any) -> None:
    recipe = ks.Recipe([ks.Prune(ks.NofM(2, 4), ks.OneShot(0), match="dense2/*"), RULE])
    first, second = pruning.assign(recipe, kernels.find(model))
    assert [kernel.layer.name for kernel in first.kernels] == ["dense2"]
    assert [kernel.layer.name for kernel in second.kernels] == ["dense1"]


def test_a_rule_that_is_left_with_nothing_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match=r"only kernels of rules before it. Trainable kernels of the model: \["):
        pruning.assign(ks.Recipe([RULE, RULE]), kernels.find(model))
    with pytest.raises(ValueError, match=r"match=\['a', 'b'\].*no trainable kernel.*dense1/kernel.*dense2/kernel"):
        pruning.assign(ks.Recipe([ks.Prune(ks.NofM(2, 4), ks.OneShot(0), match=["a", "b"])]), kernels.find(model))
