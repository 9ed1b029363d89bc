"""You run int8 models on a CPU and want zeros to save time: 1x4 blocks, run by kernels that skip them.

    python examples/native_sparse_kernels.py [--smoke]

The file is an ordinary `.tflite`. Without the native library it gives the same bytes at the speed of a dense one.
"""

import argparse
import statistics
import time

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from keras import layers

import keras_sparse as ks


def textures(count, seed):
    """Noisy 24x24 images of stripes; the class is their direction."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 4, count)
    angle = y[:, None, None] * np.pi / 4
    row, col = np.mgrid[:24, :24]
    phase = generator.uniform(0, 2 * np.pi, (count, 1, 1))
    x = np.sin(np.cos(angle) * row + np.sin(angle) * col + phase) + generator.normal(0, 0.5, (count, 24, 24))
    return x[..., None].astype("float32"), y


def build():
    model = keras.Sequential([keras.Input((24, 24, 1)), layers.Conv2D(32, 3, strides=2, name="first")])
    for depth in range(3):
        model.add(layers.DepthwiseConv2D(3, padding="same", name=f"look_{depth}"))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
        model.add(layers.Conv2D(128, 1, use_bias=False, name=f"mix_{depth}"))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(4, name="scores"))
    return model


def load(path, delegates=None):
    interpreter = Interpreter(path, num_threads=1, experimental_delegates=delegates)
    interpreter.allocate_tensors()
    return interpreter


def predict(interpreter, images):
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(result["index"]))
    return np.concatenate(found)


def seconds(interpreter):
    start = time.perf_counter()
    interpreter.invoke()
    return time.perf_counter() - start


def main(smoke):
    x, y = textures(600 if smoke else 4000, seed=0)
    x_test, y_test = textures(200, seed=1)

    # Blocks of 1 output channel x 4 inputs, in the convolutions that do the work.
    recipe = ks.Recipe(
        [
            ks.Prune(ks.Block((1, 4), 0.8), ks.Cubic(begin=0.1, end=0.6, every=4), match="mix_*/kernel"),
            ks.Quantize(begin=0.6),
        ]
    )
    model = ks.prepare(build(), recipe)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=False)
    model.fit(x, y, epochs=4 if smoke else 6, batch_size=25, callbacks=[ks.Sparsify(recipe)], verbose=2)
    print(ks.export(model, "textures.tflite", samples=x[:256]))

    plain = load("textures.tflite")
    scores = predict(plain, x_test)
    print("accuracy of the file:", np.mean(scores.argmax(1) == y_test))

    try:
        sparse = load("textures.tflite", [ks.delegate()])
    except RuntimeError as error:  # no C compiler when the package was installed, or no AVX2 or ARM dot product
        print(error)
        return
    assert np.array_equal(predict(sparse, x_test), scores), "the kernels give XNNPACK's bytes"
    ratios = [seconds(plain) / seconds(sparse) for _ in range(50 if smoke else 500)]
    print(f"with the native kernels: the same bytes, {statistics.median(ratios):.2f} times as fast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that it works")
    main(parser.parse_args().smoke)
