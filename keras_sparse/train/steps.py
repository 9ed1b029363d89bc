"""The training steps of one fit, with masks: a mask is on its variable while a step runs, and at no other time."""

import inspect

import keras


class MaskedSteps:
    """Stands in for the train function of `model`, and puts the masks on for each call that the present fit makes.

    Keras tells callbacks nothing of a fit that is interrupted, so nothing is left to be taken away then: variables get
    their constraints back however a step ends, and a call that comes from elsewhere than this fit gives the model its
    own train function again.
    """

    def __init__(self, model, masks, params):
        self.model, self.masks, self.params = model, masks, params
        self.made = False  # whether a step was made; whoever asks sets it back
        self.install()

    @property
    def installed(self):
        return self.model.train_function is self

    def install(self):
        """Traces anew: a train function that was traced before has other constraints in it."""
        self.fit, self.by_keras = current_fit(self.model), in_fit()
        self.model.make_train_function(force=True)
        self.function, self.model.train_function = self.model.train_function, self

    def remove(self):
        self._take_off()  # again, where that was interrupted itself
        if self.installed:
            self.model.make_train_function(force=True)

    def __call__(self, *args):
        if not self._wanted():
            self.remove()
            return self.model.train_function(*args)
        try:
            for mask in self.masks:
                mask.put_on()
            self.made = True
            return self.function(*args)
        finally:
            self._take_off()

    def _take_off(self):
        for mask in self.masks:
            mask.take_off()

    def _wanted(self):
        """Whether a call comes from the fit: from Keras's loop, or from a callback (`train_on_batch`) within it."""
        return current_fit(self.model) is self.fit and (in_fit() or not self.by_keras)


def current_fit(model):
    """What identifies the newest fit of a model: Keras makes parameters for each, and gives them to its `History`."""
    return getattr(getattr(model, "history", None), "params", None)


def in_fit():
    """Whether Keras's `fit` is what is running, in the calls that led here; it is not in a loop of the user's own."""
    code, frame = inspect.unwrap(keras.Model.fit).__code__, inspect.currentframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None
