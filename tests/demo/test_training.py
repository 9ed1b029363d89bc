"""The recipe and the images of the demo; its fits are tested by `test_run.py`."""

from __future__ import annotations

import numpy as np
import pytest

from keras_sparse.demo import training
from keras_sparse.demo.data import LABELS, Dataset


@pytest.fixture
def dataset() -> Dataset:
    images, labels = np.arange(5 * 784, dtype=np.uint8).reshape(5, 28, 28), np.arange(5, dtype=np.uint8)
    return Dataset(images, labels, images[:3], labels[:3], LABELS, "made up")


def test_images_are_scaled(dataset: Dataset) -> None:
    images = training.Images.of(dataset)
    assert images.x_train.shape == (5, 28, 28, 1) and images.x_test.shape == (3, 28, 28, 1)
    assert images.x_train.dtype == np.float32
    np.testing.assert_array_equal(images.x_train[..., 0] * 255, dataset.x_train)


def test_the_first_images_may_be_taken(dataset: Dataset) -> None:
    images = training.Images.of(dataset, train=4, test=2)
    assert len(images.x_train) == len(images.y_train) == 4
    assert len(images.x_test) == len(images.y_test) == 2
    assert images.steps == 1


@pytest.mark.parametrize("total", [1, 20, 948, 100_000])
def test_the_recipe_ends_pruning_before_quantization_begins(total: int) -> None:
    rules = training.recipe(total)
    (prune,) = rules.prune
    assert prune.pattern.sparsity == training.SPARSITY
    assert prune.schedule.end < rules.quantize.begin < rules.quantize.freeze < 1
    assert (prune.schedule.end - prune.schedule.begin) * total / prune.schedule.every <= training.UPDATES
