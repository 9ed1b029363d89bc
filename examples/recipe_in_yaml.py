"""Your recipe lives in a file beside the training script, and a training run may be interrupted and taken up again.

python examples/recipe_in_yaml.py [--smoke]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_sparse as ks

RECIPE = """\
format: 1
rules:
- rule: Prune
  pattern: {name: Block, shape: [4, 1], sparsity: 0.5}   # 4 output channels by 1 input
  schedule: {name: Cubic, begin: 0.0, end: 0.6, every: 20}
  match: ["hidden*/kernel"]
- rule: Quantize
  begin: 0.7
"""


def data(count, seed):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(count, 32)).astype("float32")
    return x, (x[:, :16].sum(1) > x[:, 16:].sum(1)).astype("int32")


class Interrupt(keras.callbacks.Callback):
    """Stops the run in the middle, as a preempted machine would."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.epoch


def main(smoke):
    x, y = data(1000 if smoke else 8000, seed=0)
    Path("recipe.yaml").write_text(RECIPE)
    recipe = ks.Recipe.load("recipe.yaml")  # an unknown key or name is refused, with the known ones
    print(recipe)

    model = keras.Sequential(
        [
            keras.Input((32,)),
            layers.Dense(64, activation="relu", name="hidden_1"),
            layers.Dense(64, activation="relu", name="hidden_2"),
            layers.Dense(2, name="scores"),
        ]
    )
    model = ks.prepare(model, recipe)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)

    # The first half. `partial` says that the recipe need not be finished when this fit ends.
    first = [ks.Sparsify(recipe, partial=True), Interrupt(2)]
    model.fit(x, y, epochs=4, batch_size=50, callbacks=first, verbose=2)
    model.save("half.keras")

    # Another day: masks, ranges and the place in the schedule are in the file.
    model = keras.models.load_model("half.keras")
    model.fit(x, y, epochs=4, initial_epoch=2, batch_size=50, callbacks=[ks.Sparsify(recipe)], verbose=2)
    print(ks.sparsity(model, recipe))
    print(ks.export(model, "signs.onnx", samples=x[:256]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it works")
    main(parser.parse_args().smoke)
