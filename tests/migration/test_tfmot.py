"""Models that TFMOT trained on real images: the same predictions, the same zeros, and files that keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_sparse as ks
from keras_sparse.train import kernels

LOSS, METRICS = "sparse_categorical_crossentropy", ["accuracy"]
SPARSITY = 0.7


def net(k2: Any) -> Any:
    la = k2.layers
    return k2.Sequential(
        [
            k2.Input((28, 28, 1), name="image"),
            la.Conv2D(8, 3, strides=2, use_bias=False, name="conv"),
            la.BatchNormalization(momentum=0.9, name="conv_bn"),
            la.ReLU(name="conv_relu"),
            la.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"),
            la.BatchNormalization(momentum=0.9, name="depthwise_bn"),
            la.ReLU(name="depthwise_relu"),
            la.Conv2D(16, 1, activation="relu", name="pointwise"),
            la.MaxPooling2D(name="pool"),
            la.Flatten(name="flat"),
            la.Dense(10, activation="softmax", name="head"),
        ],
        name="net",
    )


def fit(model: Any, data: Any, count: int = 3000, **arguments: Any) -> Any:
    model.compile("adam", LOSS, metrics=METRICS)
    model.fit(data[0][:count], data[1][:count], batch_size=64, verbose=0, **arguments)
    return model


@pytest.fixture(scope="module")
def trained(k2: Any, fashion: Any) -> Any:
    return fit(net(k2), fashion)


@pytest.fixture(scope="module")
def pruned(tfmot: Any, trained: Any, fashion: Any) -> Any:
    schedule = tfmot.sparsity.keras.ConstantSparsity(SPARSITY, 0, frequency=10)
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(trained, schedule)
    return fit(wrapped, fashion, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])


@pytest.fixture(scope="module")
def qat(tfmot: Any, trained: Any, fashion: Any) -> Any:
    return fit(tfmot.quantization.keras.quantize_model(trained), fashion)


@pytest.fixture(scope="module")
def pqat(tfmot: Any, pruned: Any, fashion: Any) -> Any:
    q = tfmot.quantization.keras
    annotated = q.quantize_annotate_model(tfmot.sparsity.keras.strip_pruning(pruned))
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    return fit(q.quantize_apply(annotated, scheme), fashion)


def zeros(model: Any) -> dict[str, int]:
    return {each.path.split("/")[-2]: int((each.matrices() == 0).sum()) for each in kernels.find(model)}


def masked(model: Any) -> dict[str, int]:
    """The zeros of TFMOT's model, whatever wraps its layers."""
    found = {}
    for layer in model.layers:
        for weight in layer.weights:
            name, _, variable = weight.name.partition("/")
            if variable in ("kernel:0", "depthwise_kernel:0"):
                found[name] = int((weight.numpy() == 0).sum())
    return found


def accuracy(model: Any, data: Any) -> float:
    return float(np.mean(model.predict(data[2], verbose=0).argmax(1) == data[3]))


def agreement(one: Any, other: Any, data: Any) -> float:
    made, wanted = (model.predict(data[2], verbose=0) for model in (one, other))
    return float(np.mean(made.argmax(1) == wanted.argmax(1)))


@pytest.mark.slow
def test_a_plain_model(trained: Any, fashion: Any) -> None:
    new = ks.from_tfmot(trained)
    assert type(new) is keras.Sequential
    np.testing.assert_allclose(new.predict(fashion[2], verbose=0), trained.predict(fashion[2], verbose=0), atol=1e-5)


@pytest.mark.slow
def test_a_pruned_model_wrapped_and_stripped(tfmot: Any, pruned: Any, fashion: Any) -> None:
    wanted = pruned.predict(fashion[2], verbose=0)
    for old in (pruned, tfmot.sparsity.keras.strip_pruning(pruned)):
        new = ks.from_tfmot(old)
        np.testing.assert_allclose(new.predict(fashion[2], verbose=0), wanted, atol=1e-5)
        sizes = {"conv": 72, "pointwise": 128, "head": 6 * 6 * 16 * 10}
        assert zeros(new) == {name: round(SPARSITY * size) for name, size in sizes.items()} | {"depthwise": 0}
        assert [layer.name for layer in new.layers][:2] == ["conv", "conv_bn"]


@pytest.mark.slow
def test_a_qat_model(qat: Any, fashion: Any, tmp_path: Path) -> None:
    new = ks.from_tfmot(qat)
    assert agreement(new, qat, fashion) >= 0.985
    assert abs(accuracy(new, fashion) - accuracy(qat, fashion)) <= 0.005
    report = ks.export(new, tmp_path / "model.tflite", samples=fashion[2][:64]).report
    assert report.scheme == "int8" and all(each.agreement >= 0.98 for each in report.verification)


@pytest.mark.slow
def test_a_pqat_model(pqat: Any, fashion: Any, tmp_path: Path) -> None:
    """With the zeros of the pruning before it, which stay in the file and in training that goes on."""
    new = ks.from_tfmot(pqat)
    assert zeros(new) == masked(pqat) and zeros(new)["head"] == round(SPARSITY * 5760)
    assert agreement(new, pqat, fashion) >= 0.985
    for name in ("model.tflite", "model.onnx"):
        report = ks.export(new, tmp_path / name, samples=fashion[2][:64]).report
        assert {each.name.split("/")[0]: each.zeros for each in report.tensors} == zeros(new)
    before, pruned_layers = zeros(new), ["conv/*", "pointwise/*", "head/*"]
    recipe = ks.Recipe(
        [ks.Prune(ks.Unstructured(SPARSITY), ks.Constant(), match=pruned_layers), ks.Quantize(freeze=40)]
    )
    fit(new, fashion, callbacks=[ks.Sparsify(recipe)])
    assert zeros(new) == before
    assert accuracy(new, fashion) > accuracy(pqat, fashion) - 0.02


@pytest.mark.slow
def test_the_source_is_not_changed(qat: Any, pruned: Any) -> None:
    for old in (qat, pruned):
        before = [weight.numpy().tobytes() for weight in old.weights]
        ks.from_tfmot(old)
        assert [weight.numpy().tobytes() for weight in old.weights] == before
