"""TensorFlow Model Optimization as an oracle, where it is right: the cubic ramp and the N:M mask."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # what TFMOT was written for; read by tensorflow when it is imported

import numpy as np
import pytest

from keras_sparse.layout import CONV_2D, DENSE
from keras_sparse.pattern import NofM
from keras_sparse.schedule import Cubic, Linear


@pytest.fixture(scope="module")
def tfmot() -> Any:
    pytest.importorskip("tf_keras", reason="tf_keras, which TFMOT needs, is not installed")
    return pytest.importorskip("tensorflow_model_optimization", reason="TFMOT is not installed")


@pytest.mark.parametrize(("schedule", "power"), [(Cubic(20, 120, every=10), 3), (Linear(20, 120, every=10), 1)])
def test_ramps(tfmot: Any, schedule: Cubic | Linear, power: int) -> None:
    theirs = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.8, 20, 120, power=power, frequency=10)
    for step in range(20, 121, 5):
        _, sparsity = theirs(step)
        assert 0.8 * schedule.progress(step) == pytest.approx(float(sparsity), abs=1e-6)


def test_updates_on_the_way(tfmot: Any) -> None:
    theirs = tfmot.sparsity.keras.PolynomialDecay(0.0, 0.8, 20, 120, frequency=10)
    ours = Cubic(20, 120, every=10)
    for step in range(150):
        due, _ = theirs(step)
        if step <= 120:
            assert bool(due) == (ours.last_update(step) == step)


@pytest.mark.parametrize("keep", [1, 2, 3])
@pytest.mark.parametrize(("layout", "shape"), [(DENSE, (16, 6)), (CONV_2D, (3, 3, 8, 5))])
def test_n_of_m_masks(tfmot: Any, keep: int, layout: Any, shape: tuple[int, ...]) -> None:
    """Their (zeros, group) is our NofM(group - zeros, group)."""
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_utils

    weights = np.random.default_rng(keep).normal(size=shape).astype(np.float32)
    # They group along the last axis of a 2-D matrix: outputs (and positions) x inputs.
    matrices = layout.to_matrices(weights)
    flat = matrices.reshape(-1, matrices.shape[-1])
    theirs = pruning_utils.generate_m_by_n_mask(np.abs(flat), [4 - keep, 4]).numpy().reshape(matrices.shape)
    ours = NofM(keep, 4).mask(np.abs(matrices), 1.0)
    np.testing.assert_array_equal(ours, theirs.astype(bool))
    assert ours.reshape(-1, 4).sum(axis=1).tolist() == [keep] * (flat.size // 4)


def test_n_of_m_masks_of_a_whole_layer(tfmot: Any) -> None:
    """Theirs, through the axis orders that they choose themselves."""
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

    for layout, shape in ((DENSE, (8, 6)), (CONV_2D, (3, 3, 8, 5))):
        weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        pruning = pruning_impl.Pruning(
            training_step_fn=lambda: 0,
            pruning_vars=[],
            pruning_schedule=pruning_schedule.ConstantSparsity(0.5, 0),
            block_size=(1, 1),
            block_pooling_type="AVG",
            sparsity_m_by_n=(3, 4),
        )
        theirs = pruning._update_mask_sparsity_m_by_n(tf.constant(weights), (3, 4))
        matrices = layout.to_matrices(weights)
        ours = layout.from_matrices(NofM(1, 4).mask(np.abs(matrices), 1.0), shape)
        np.testing.assert_array_equal(ours, theirs.numpy().astype(bool))
