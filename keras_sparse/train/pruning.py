"""One `Prune` rule at work on the kernels that it matches."""

import keras
import numpy as np

from keras_sparse import allocation, criterion
from keras_sparse.recipe import matches
from keras_sparse.train.mask import MaskConstraint


class Pruning:
    """Holds the rule, its kernels and their masks during one fit."""

    def __init__(self, rule, kernels):
        self.rule, self.kernels = rule, kernels
        self.schedule = rule.schedule
        self.last = -1  # the step of the newest update done
        self.masks = [MaskConstraint(kernel.variable) for kernel in kernels]

    def resolve(self, origin, total):
        """Fixes the schedule to optimizer steps, for a fit of `total` steps after step `origin`."""
        self.schedule = self.rule.schedule.resolve(origin, total)

    @property
    def finished(self):
        return self.last >= self.schedule.final_step

    def update(self, step, resuming=False):
        """Carries out the newest update that is due at `step`; returns whether there was one.

        A model that is trained further has its masks in its zeros: with `resuming`, updates that lie in the past must
        find just the zeros that they made.
        """
        due = self.schedule.due(self.last, step)
        if due is None:
            return False
        masks = self._new_masks(due)
        if resuming and due < step:
            self._check_past(masks, due, step)
        for mask, values in zip(self.masks, masks, strict=True):
            mask.mask.assign(values)
        self.last = due
        self.apply()
        return True

    def apply(self):
        """Zeros what the masks say, on top of what the optimizer does at every step."""
        for mask in self.masks:
            mask.apply()

    def zeros(self):
        """{path: zeros} as the weights are."""
        return {kernel.path: int(np.count_nonzero(kernel.matrices() == 0)) for kernel in self.kernels}

    def _new_masks(self, step):
        weights = [kernel.matrices() for kernel in self.kernels]
        for kernel, values in zip(self.kernels, weights, strict=True):
            if not np.isfinite(values).all():
                raise ValueError(f"{kernel.path} holds NaN or infinite weights at step {step}; training has diverged.")
        if self.schedule.keeps_zeros:
            self._check_constant(weights)
            masks = [values != 0 for values in weights]
        else:
            scores = [criterion.get(self.rule.criterion)(values) for values in weights]
            masks = allocation.get(self.rule.scope)(self.rule.pattern, scores, self.schedule.progress(step))
        return [
            kernel.layout.from_matrices(mask, tuple(kernel.variable.shape))
            for kernel, mask in zip(self.kernels, masks, strict=True)
        ]

    def _check_constant(self, weights):
        for kernel, values in zip(self.kernels, weights, strict=True):
            broken = self.rule.pattern.violation(values)
            if broken:
                raise ValueError(
                    f"{kernel.path}: Constant() keeps the zeros that are there, and they do not make "
                    f"{self.rule.pattern}: {broken}. Prune first, with OneShot, Linear or Cubic."
                )

    def _check_past(self, masks, due, step):
        for kernel, mask in zip(self.kernels, masks, strict=True):
            values = keras.ops.convert_to_numpy(kernel.variable)
            lost = int(np.count_nonzero(values[~mask]))
            if lost:
                raise ValueError(
                    f"{kernel.path}: the update of step {due} lies before this fit, which starts at optimizer step "
                    f"{step}, and {lost} weights that it should have made zero are not. Give {self.schedule} a begin "
                    f"of at least {step}, use fractions of the fit, or compile the model anew to start at step 0."
                )


def assign(recipe, kernels):
    """A `Pruning` for each `Prune` rule, with the kernels that no rule before it matched.

    Raises:
        ValueError: a rule is left with no kernel; says which paths there are.
    """
    kernels = [kernel for kernel in kernels if kernel.trainable]
    taken, prunings = set(), []
    for rule in recipe.prune:
        matched = [kernel for kernel in kernels if matches(rule.match, kernel.path)]
        free = [kernel for kernel in matched if id(kernel.variable) not in taken]
        if not free:
            paths = [kernel.path for kernel in kernels]
            found = "only kernels of rules before it" if matched else "no trainable kernel"
            raise ValueError(f"Prune(match={rule.match!r}) matches {found}. Trainable kernels of the model: {paths}")
        taken.update(id(kernel.variable) for kernel in free)
        prunings.append(Pruning(rule, free))
    return prunings
