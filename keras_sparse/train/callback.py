"""`Sparsify`: the Keras callback that carries a recipe out during `fit`."""

import keras

from keras_sparse.recipe import Recipe
from keras_sparse.schedule import resolve_step
from keras_sparse.train import kernels, pruning
from keras_sparse.train.ranges import ActivationRange
from keras_sparse.train.steps import MaskedSteps
from keras_sparse.train.wrapper import QuantizedWeights


class Sparsify(keras.callbacks.Callback):
    """Prunes and quantizes a model during `fit`, as its recipe says.

    Masks are constraints on the variables, which the optimizer applies inside the compiled step: the weights are
    exactly sparse after every step, and so is every checkpoint. Constraints of the model's own still hold. Updates are
    made after the steps at which they are due (with `steps_per_execution`, at the next step that Keras shows); the one
    at step 0 before the first step, or after it where that step builds the model. A model that was saved and loaded
    with its optimizer is trained further as if it never was.

    When a fit is interrupted, by Ctrl-C or any error, nothing has to be undone: masks are on the variables only while a
    step runs. The weights keep their zeros. A fit with `Sparsify` goes on from there; one without it trains densely,
    with the model's own constraints, as after a fit that has ended. Only a loop of your own that calls the hooks around
    `train_on_batch` has to let go where it breaks off: with `model.make_train_function(force=True)`.

    Each update writes `sparsity` (the fraction of zeros of all pruned kernels together) into `logs`, and every epoch's
    logs have it, for History, TensorBoard, CSVLogger and the progress bar. Put `Sparsify` before callbacks that write
    logs or files, so that they see it, and after those that put other weights into the model (`SwapEMAWeights`,
    `EarlyStopping(restore_best_weights=True)`), so that it makes them sparse.

    Args:
        recipe: a `Recipe`.
        partial: whether this fit is a part of a longer run, so that it may end before the recipe does.

    Attributes:
        updates: list of (optimizer step, {variable path: fraction of zeros}), one entry for each mask update.

    Raises:
        ValueError: when training begins, if a rule matches nothing, the recipe cannot be finished in this fit, or
            there are two `Sparsify` in it; when it ends, if it was not; at an update, if weights are not finite.

    >>> import keras
    >>> import numpy as np
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10)])
    >>> model.compile("sgd", "mse")
    >>> callback = ks.Sparsify(ks.Recipe([ks.Prune(ks.Unstructured(0.75), ks.OneShot(at=2))]))
    >>> history = model.fit(np.ones((32, 8)), np.ones((32, 10)), batch_size=8, verbose=0, callbacks=[callback])
    >>> history.history["sparsity"], int((model.layers[0].kernel.numpy() == 0).sum())
    ([0.75], 60)
    """

    def __init__(self, recipe, partial=False):
        super().__init__()
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipe must be a Recipe. Received: {recipe!r}")
        self.recipe, self.partial = recipe, partial
        self.updates = []
        self._prunings, self._quantizing, self._steps = [], None, None

    def on_train_begin(self, logs=None):
        self._detach()  # from a fit that was interrupted
        self.updates, self._sparsity = [], 0.0
        self._prunings, self._quantizing, self._steps = [], None, None
        self._resolved = self._complete = False
        if self.model.built:
            self._attach()

    def on_epoch_begin(self, epoch, logs=None):
        self._complete = epoch + 1 == self.params.get("epochs")
        if self._resolved:
            return
        # Only now it is known in which epoch the fit starts, and so where the whole fit began.
        self._first = epoch, self._step()
        if self.model.built:
            self._resolve()
            self._update(self._step(), {}, resuming=True)

    def on_train_batch_begin(self, batch, logs=None):
        if self._steps is not None and not self._steps.installed:
            self._steps.install()  # another callback had a train function made

    def on_train_batch_end(self, batch, logs=None):
        if not self._resolved:  # a model that its first batch has built
            self._attach()
            self._resolve()
        elif not self._steps.made:  # the step of a loop of the user's own, or of a train function made just now
            self._apply()
        self._steps.made = False
        self._update(self._step(), logs)

    def on_epoch_end(self, epoch, logs=None):
        self._apply()  # another callback may have put averaged weights in their place
        if self._prunings and logs is not None:
            logs["sparsity"] = self._sparsity = self._total_sparsity()

    def on_train_end(self, logs=None):
        if not self._resolved:
            return self._detach()  # a fit of no epochs
        end = self._step()
        if self._complete and not self.model.stop_training and self._total is not None:
            # An optimizer that skipped steps (loss scaling) has counted fewer than the fit made.
            end = max(end, self._origin + self._total)
        self._update(end, logs)
        self._apply()  # weights that were averaged at the end of the fit are sparse again
        unfinished = [each for each in self._prunings if not each.finished]
        unquantized = self._quantizing is not None and not self._quantizing.active
        self._detach()
        if not self.partial:
            self._check_finished(unfinished, unquantized)

    def _attach(self):
        other = self.model.train_function
        if isinstance(other, MaskedSteps) and other.params is self.params:
            raise ValueError(
                f"There are two Sparsify callbacks in one fit of {self.model.name!r}. Give one of them the rules of "
                "both, in one Recipe."
            )
        self._prunings = pruning.assign(self.recipe, kernels.find(self.model))
        self._quantizing = _Quantizing(self.recipe.quantize, self.model) if self.recipe.quantize else None
        masks = [mask for each in self._prunings for mask in each.masks]
        self._steps = MaskedSteps(self.model, masks, self.params)

    def _step(self):
        return int(self.model.optimizer.iterations)

    def _resolve(self):
        steps, (epoch, step) = self.params.get("steps"), self._first
        # Loss scaling wraps the optimizer that accumulates, and may have skipped steps of earlier epochs.
        inner = getattr(self.model.optimizer, "inner_optimizer", None)
        accumulated = getattr(inner or self.model.optimizer, "gradient_accumulation_steps", None) or 1
        self._total = steps * self.params["epochs"] // accumulated if steps else None
        if steps:
            self._origin = step - epoch * steps // accumulated
            self._origin = self._origin if inner is None else max(0, self._origin)
        else:
            self._origin = None if epoch else step
        rules = [*self._prunings, *([self._quantizing] if self._quantizing else [])]
        for each in rules:
            each.resolve(self._origin, self._total)
        self._resolved = True
        if self.partial or self._total is None:
            return
        last = self._origin + self._total
        late = [each for each in self._prunings if each.schedule.final_step > last]
        if late:
            raise ValueError(
                f"{late[0].rule} needs optimizer step {late[0].schedule.final_step}, and this fit ends at step {last}. "
                "Give it an earlier end, or a fraction of the fit (a float), or train longer; "
                "Sparsify(recipe, partial=True) if a later fit goes on."
            )
        if self._quantizing is not None and self._quantizing.begin >= last:
            raise ValueError(
                f"{self.recipe.quantize} begins at optimizer step {self._quantizing.begin}, and this fit ends at step "
                f"{last}: no batch would pass. Give it an earlier begin."
            )

    def _update(self, step, logs, resuming=False):
        # A list, not a generator: every rule has its turn.
        if any([each.update(step, resuming) for each in self._prunings]):
            sizes = {k.path: k.variable.shape.num_elements() for each in self._prunings for k in each.kernels}
            zeros = {path: n for each in self._prunings for path, n in each.zeros().items()}
            self.updates.append((step, {path: zeros[path] / sizes[path] for path in sizes}))
            self._sparsity = sum(zeros.values()) / sum(sizes.values())
            if logs is not None:
                logs["sparsity"] = self._sparsity
        if self._quantizing is not None:
            self._quantizing.update(step)

    def _total_sparsity(self):
        zeros = sum(sum(each.zeros().values()) for each in self._prunings)
        return zeros / sum(kernel.variable.shape.num_elements() for each in self._prunings for kernel in each.kernels)

    def _apply(self):
        for each in self._prunings:
            each.apply()

    def _detach(self):
        if self._steps is not None:
            self._steps.remove()

    def _check_finished(self, unfinished, unquantized):
        if unfinished:
            each = unfinished[0]
            raise ValueError(
                f"{each.rule} was not finished: training ended at optimizer step {self._step()}, its last update is at "
                f"step {each.schedule.final_step}. The model has {each.zeros()} zeros. Train longer, end the schedule "
                "earlier, or pass Sparsify(recipe, partial=True) if a later fit goes on."
            )
        if unquantized:
            raise ValueError(
                f"{self.recipe.quantize} was never switched on: training ended at optimizer step {self._step()}, it "
                f"begins at step {self._quantizing.begin}. Train longer, or give it an earlier begin."
            )


class _Quantizing:
    """The `Quantize` rule at work: switches wrappers and ranges on, and freezes ranges."""

    def __init__(self, rule, model):
        self.rule = rule
        layers = kernels.walk(model)
        self.wrappers = [layer for layer in layers if isinstance(layer, QuantizedWeights)]
        self.ranges = [layer for layer in layers if isinstance(layer, ActivationRange)]
        if not self.wrappers:
            raise ValueError(
                f"The recipe has {rule}, but no layer of {model.name!r} is wrapped for it. "
                "Call model = ks.prepare(model, recipe) before compile."
            )
        self.active, self._learning = False, None

    def resolve(self, origin, total):
        self.begin = resolve_step(self.rule.begin, origin, total)
        self.freeze = None if self.rule.freeze is None else resolve_step(self.rule.freeze, origin, total)

    def update(self, step):
        before = self.active, self._learning
        self.active = step >= self.begin
        self._learning = self.active and (self.freeze is None or step < self.freeze)
        if (self.active, self._learning) == before:
            return
        for layer in (*self.wrappers, *self.ranges):
            layer.active.assign(float(self.active))
        for layer in self.ranges:
            layer.learning.assign(float(self._learning))
