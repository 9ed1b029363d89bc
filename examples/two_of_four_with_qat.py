"""You deploy to sparse tensor cores or want fixed-size weights: 2 of every 4 inputs kept (2:4), trained in int8.

    python examples/two_of_four_with_qat.py [--smoke]

Groups of four lie along the inputs of each output channel as the runtime stores them, which this checks in the files.
"""

import argparse

import keras
import numpy as np
from keras import layers

import keras_sparse as ks


def windows(count, seed):
    """Windows of a noisy signal, 64 samples; the class is its frequency."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 3, count)
    phase = generator.uniform(0, 2 * np.pi, (count, 1))
    time = np.arange(64) / 64
    x = np.sin(2 * np.pi * (2 + 3 * y[:, None]) * time + phase) + generator.normal(0, 0.4, (count, 64))
    return x.astype("float32"), y


def main(smoke):
    x, y = windows(600 if smoke else 6000, seed=0)
    x_test, y_test = windows(1000, seed=1)

    inputs = keras.Input((64,), name="window")
    hidden = layers.Dense(64, activation="relu", name="first")(inputs)
    hidden = layers.Dense(64, activation="relu", name="second")(hidden)
    model = keras.Model(inputs, layers.Dense(3, name="scores")(hidden))

    recipe = ks.Recipe(
        [
            # It ramps: 4 of 4, then 3 of 4, then 2 of 4. The small output layer stays dense.
            ks.Prune(ks.NofM(2, 4), ks.Linear(begin=0.1, end=0.5, every=10), match=["first/kernel", "second/kernel"]),
            ks.Quantize(begin=0.5, freeze=0.9),
        ]
    )
    model = ks.prepare(model, recipe)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    model.fit(x, y, epochs=3 if smoke else 10, batch_size=50, callbacks=[ks.Sparsify(recipe)], verbose=2)
    print("accuracy in Keras:", model.evaluate(x_test, y_test, verbose=0)[1])

    report = ks.sparsity(model, recipe)  # held against what the recipe asked for
    print(report)
    assert all(kernel.broken is None for kernel in report.kernels)

    for path in ("windows.onnx", "windows.tflite"):
        print(ks.export(model, path, samples=x[:256]))
        patterns = [kernel.patterns for kernel in ks.sparsity(path).kernels if kernel.zeros]
        print(path, "keeps", patterns)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it works")
    main(parser.parse_args().smoke)
