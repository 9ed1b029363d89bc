"""A mask is a constraint on the variable."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_sparse.train.mask import MaskConstraint

MASK = np.array([[True, False], [False, True]])


def variable(constraint: object = None) -> keras.Variable:
    made = keras.Variable(np.float32([[1, 2], [3, 4]]))
    made.constraint = constraint
    return made


def masked(constraint: MaskConstraint, values: object) -> np.ndarray:
    return keras.ops.convert_to_numpy(constraint(keras.ops.convert_to_tensor(np.float32(values))))


def test_a_new_mask_keeps_all() -> None:
    constraint = MaskConstraint(variable())
    np.testing.assert_array_equal(masked(constraint, [[1, -2], [0, 4]]), [[1, -2], [0, 4]])
    assert not constraint.mask.trainable


def test_a_mask_holds_zeros() -> None:
    constraint = MaskConstraint(variable())
    constraint.mask.assign(MASK)
    np.testing.assert_array_equal(masked(constraint, [[1, -2], [3, 4]]), [[1, 0], [0, 4]])


def test_what_is_masked_is_plus_zero_even_where_training_diverged() -> None:
    """A product with the mask would give NaN, and negative zeros that are not the int8 zero of a file's bytes."""
    constraint = MaskConstraint(variable())
    constraint.mask.assign(MASK)
    found = masked(constraint, [[1, -np.inf], [np.nan, 4]])
    np.testing.assert_array_equal(found, [[1, 0], [0, 4]])
    assert not np.signbit(found).any()


def test_the_users_constraint_still_holds() -> None:
    constraint = MaskConstraint(variable(keras.constraints.NonNeg()))
    constraint.mask.assign(MASK)
    np.testing.assert_array_equal(masked(constraint, [[-1, 2], [3, 4]]), [[0, 0], [0, 4]])


def test_the_users_constraint_sees_masked_weights_and_cannot_bring_them_back() -> None:
    seen = []

    def user(weights: object) -> object:
        seen.append(keras.ops.convert_to_numpy(weights))
        return weights + 10.0  # type: ignore[operator]

    constraint = MaskConstraint(variable(user))
    constraint.mask.assign(MASK)
    np.testing.assert_array_equal(masked(constraint, [[1, 2], [3, 4]]), [[11, 0], [0, 14]])
    np.testing.assert_array_equal(seen[-1], [[1, 0], [0, 4]])


def test_norms_are_those_of_what_is_kept() -> None:
    constraint = MaskConstraint(variable(keras.constraints.UnitNorm(axis=0)))
    constraint.mask.assign(MASK)
    np.testing.assert_allclose(masked(constraint, [[3, 2], [4, 5]]), [[1, 0], [0, 1]], rtol=1e-5)


def test_a_mask_that_is_still_on_is_replaced_not_wrapped() -> None:
    user = keras.constraints.NonNeg()
    made = variable(user)
    first = MaskConstraint(made)
    first.put_on()
    again = MaskConstraint(made)
    again.put_on()
    again.put_on()
    assert (made.constraint, again.user) == (again, user)
    first.take_off()
    assert made.constraint is again
    again.take_off()
    again.take_off()
    assert made.constraint is user


def test_it_is_applied_to_its_variable_which_keeps_its_constraint() -> None:
    user = keras.constraints.NonNeg()
    made = variable(user)
    constraint = MaskConstraint(made)
    constraint.mask.assign(MASK)
    made.assign(np.float32([[1, 2], [3, -4]]))
    constraint.apply()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(made), [[1, 0], [0, 0]])
    assert made.constraint is user


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_the_dtype_stays(dtype: str) -> None:
    made = keras.Variable(np.ones((2, 2)), dtype=dtype)
    constraint = MaskConstraint(made)
    constraint.mask.assign(MASK)
    found = constraint(keras.ops.convert_to_tensor(made))
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    made.assign(found)
    assert float(keras.ops.sum(made)) == 2.0
