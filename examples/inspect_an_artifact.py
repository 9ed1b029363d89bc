"""Somebody gave you a file. What is in it, which zeros, how big, how fast against another one?

python examples/inspect_an_artifact.py [--smoke]
"""

import argparse
import json

import keras
import numpy as np
from keras import layers

import keras_sparse as ks


def build(units):
    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(units, activation="relu", name="hidden"),
            layers.Dense(units, activation="relu", name="second"),
            layers.Dense(10, name="scores"),
        ]
    )


def main(smoke):
    units = 64 if smoke else 512
    samples = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")

    # Two files to look at: a dense model in float, and one with 4 x 1 blocks of zeros in int8, calibrated with samples.
    model = build(units)
    dense = ks.export(model, "dense.tflite", samples=samples)
    recipe = ks.Recipe([ks.Prune(ks.Block((4, 1), 0.75), ks.OneShot(at=0), match=["hidden/*", "second/*"])])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(samples, np.zeros((256, 10)), epochs=1, callbacks=[ks.Sparsify(recipe)], verbose=0)
    sparse = ks.export(model, "sparse.tflite", samples=samples, quantize="int8")

    print("1. The zeros in the files themselves, and the patterns that they keep")
    for artifact in (dense, sparse):
        print(ks.sparsity(artifact.path))

    print("2. What the export knows: sizes, what stayed float, how far the outputs are from the model's")
    print(sparse)
    with open("sparse.json", "w") as file:
        json.dump(sparse.report.to_dict(), file, indent=2)

    print("3. Size and speed, interleaved in one run. No int8 kernel is faster with blocks of 4 x 1.")
    print(ks.benchmark([dense, sparse], rounds=20 if smoke else 200))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it works")
    main(parser.parse_args().smoke)
