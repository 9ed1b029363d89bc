"""TFMOT's wrappers: told by name, read without TFMOT, their masks applied."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.migration import source, wrappers
from keras_sparse.migration.wrappers import Learned


def test_wrappers_are_told_by_name(k2: Any) -> None:
    assert source.is_keras2(k2.Sequential()) and not source.is_keras2(keras.Sequential())
    assert not wrappers.is_quantizing(k2.layers.Dense(3))


def test_other_schemes_are_refused(k2: Any, tfmot: Any) -> None:
    from tensorflow_model_optimization.python.core.quantization.keras.experimental.default_n_bit import (
        default_n_bit_quantize_scheme as n_bit,
    )

    model = k2.Sequential([k2.Input((6,)), k2.layers.Dense(4, name="dense")])
    annotated = tfmot.quantization.keras.quantize_annotate_model(model)
    scheme = n_bit.DefaultNBitQuantizeScheme(num_bits_weight=4, num_bits_activation=8)
    with tfmot.quantization.keras.quantize_scope():
        old = tfmot.quantization.keras.quantize_apply(annotated, scheme)
    with pytest.raises(ValueError, match=r"Layer 'dense' is quantized to 4 bits.*num_bits=4"):
        ks.from_tfmot(old)
    with pytest.raises(ValueError, match="Layer 'dense' is annotated, but not quantized yet"):
        ks.from_tfmot(annotated)


def test_zeros_of_the_mask_that_the_last_step_undid(tfmot: Any, k2: Any) -> None:
    """A fit that was stopped in the middle of an epoch: the mask says what the wrapped model computes with."""
    model = k2.Sequential([k2.Input((4,)), k2.layers.Dense(4, name="dense")])
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(model)
    (layer,) = wrapped.layers
    mask = np.eye(4, dtype=np.float32)
    layer.pruning_vars[0][1].assign(mask)
    layer.pruning_vars[0][0].assign(np.full((4, 4), 3.0))
    np.testing.assert_array_equal(ks.from_tfmot(wrapped).layers[0].kernel, 3 * mask)


def test_the_mask_of_pqat_counts_though_the_variable_is_not_zero(tfmot: Any, k2: Any) -> None:
    """As after `load_weights` into a model whose mask was made from other weights."""
    model = k2.Sequential([k2.Input((4,)), k2.layers.Dense(4, name="dense")])
    model.set_weights([np.eye(4, dtype=np.float32), np.zeros(4, np.float32)])
    q = tfmot.quantization.keras
    old = q.quantize_apply(
        q.quantize_annotate_model(model), tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    )
    x = np.eye(4, dtype=np.float32)
    old(x, training=True)
    kernel = next(weight for weight in old.layers[-1].weights if weight.name == "dense/kernel:0")
    kernel.assign(np.full((4, 4), 1.0))
    new = ks.from_tfmot(old)
    np.testing.assert_array_equal(new.get_layer("dense").layer.kernel, np.eye(4))
    np.testing.assert_allclose(new.predict(x, verbose=0), old.predict(x, verbose=0), atol=1e-5)


def test_what_a_layer_has_learned(k2: Any, quantized: Any, noise: Any) -> None:
    la = k2.layers
    model = k2.Sequential([k2.Input((6,)), la.Dense(4, activation="gelu", name="both"), la.Dense(3, name="one")])
    old = quantized(model, noise(8, 6))
    both, one = (old.get_layer(name) for name in ("quant_both", "quant_one"))
    values = {weight.name.split("/")[-1]: weight.numpy() for weight in both.weights}
    assert wrappers.learned(both) == {
        "raw": Learned(values["pre_activation_min:0"], values["pre_activation_max:0"]),
        "output": Learned(values["post_activation_min:0"], values["post_activation_max:0"]),
    }
    assert set(wrappers.learned(one)) == {"output"}
    assert wrappers.learned(model.layers[0]) == {}
    assert [name for name, _ in wrappers.weights(both)] == ["kernel", "bias"]
    assert wrappers.inner(both).name == "both" and wrappers.inner(model.layers[0]) is model.layers[0]
