"""The demo's model: its kernels can have exactly 75 % zeros."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_sparse.demo import model as models
from keras_sparse.demo import training
from keras_sparse.recipe import matches


@pytest.fixture(scope="module")
def model():
    return models.build()


def test_images_in_logits_out(model):
    images = np.random.rand(3, 28, 28, 1).astype(np.float32)
    logits = keras.ops.convert_to_numpy(model(images))
    assert logits.shape == (3, 10)
    assert not np.allclose(logits.sum(1), 1)


def test_layers_are_named_in_order(model):
    named = [layer.name for layer in model.layers if "kernel" in [variable.name for variable in layer.variables]]
    blocks = [name for i in range(1, len(models.BLOCKS) + 1) for name in (f"dw{i}", f"pw{i}")]
    assert named == ["entry", *blocks, "logits"]


def test_every_pruned_kernel_has_a_whole_number_of_blocks_at_its_sparsity(model):
    (rule,) = training.recipe(100).prune
    pruned = [variable for variable in model.trainable_variables if matches(rule.match, variable.path)]
    assert [each.path.split("/")[-2] for each in pruned] == [f"pw{i + 1}" for i in range(len(models.BLOCKS))]
    for variable in pruned:
        blocks = np.prod(variable.shape) / np.prod(rule.pattern.shape)
        assert (training.SPARSITY * blocks) % 1 == pytest.approx(0, abs=1e-9), variable.path


def test_it_is_what_sparse_kernels_of_runtimes_accept(model):
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            assert not layer.use_bias and layer.activation is keras.activations.linear
            if max(layer.strides) > 1:
                assert layer.padding == "valid" and layer.kernel_size == (3, 3)
    pads = [layer for layer in model.layers if isinstance(layer, layers.ZeroPadding2D)]
    assert len(pads) == 1 + sum(stride > 1 for _, stride in models.BLOCKS)
    assert all(pad.padding == ((1, 1), (1, 1)) for pad in pads)
    assert model.get_layer("pool").keepdims
