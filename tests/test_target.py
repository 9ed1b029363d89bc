"""Finding targets by name and by file, and the contract, held against all of them."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from pathlib import Path

import numpy as np
import pytest

from keras_sparse import target, targets
from keras_sparse.targets.contract import LATENCY, SIZE, Target, Verdict
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, OTHER, SCHEMES, Layer, Network

ALL = pytest.mark.parametrize("each", target.TARGETS.values(), ids=lambda each: each.name)


@ALL
def test_every_target_is_found_by_suffix_and_by_name(each: Target) -> None:
    assert target.named(each.name) is target.TARGETS[each.name] is each
    if each.suffix is None:
        return
    assert target.find(Path(f"model{each.suffix}"), each.name) is each
    assert target.find(f"some/model{each.suffix}").suffix == each.suffix
    assert each.reads(each.suffix)


def test_every_target_of_the_folder_is_found() -> None:
    modules = [
        importlib.import_module(f"keras_sparse.targets.{m.name}") for m in pkgutil.iter_modules(targets.__path__)
    ]
    classes = {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Target) and value is not Target
    }
    assert {type(each) for each in target.TARGETS.values()} == classes


def test_the_first_target_of_a_suffix_is_its_default() -> None:
    assert target.find("a.tflite").name == "litert"
    assert target.find("a.b.onnx").name == "onnxruntime"
    assert target.SUFFIXES == [".tflite", ".onnx"]


def test_what_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['\.tflite', '\.onnx'\] was expected\. Received: model\.keras"):
        target.find("model.keras")
    with pytest.raises(ValueError, match="was expected"):
        target.find("model")
    with pytest.raises(
        ValueError, match=r"Unknown target.*'litert', 'litert-arm64', 'litert-native', 'litert-x86'.*'coreml'"
    ):
        target.find("model.onnx", "coreml")
    with pytest.raises(ValueError, match=r"Files for litert-arm64 end in \.tflite\. Received: model\.onnx"):
        target.find("model.onnx", "litert-arm64")
    with pytest.raises(ValueError, match=r"packed has no files of its own to write"):
        target.find("model.tflite", "packed")


def layers() -> list[Layer]:
    """Layers of every kind, scheme, and of friendly and odd shapes, dense, sparse and all zero."""
    made = []
    shapes = ((1, 10, 7), (1, 64, 64), (9, 16, 3), (1, 1024, 1024), (1, 2, 8192), (1, 1, 1))
    rng = np.random.default_rng(0)
    for kind, scheme, shape, density in itertools.product(
        (DENSE, CONV, DEPTHWISE, OTHER), SCHEMES, shapes, (1.0, 0.1, 0.0)
    ):
        kept = rng.random(shape) < density
        zeros = int(kept.size - kept.sum())
        vectors = (1, None, 49)[len(made) % 3]
        made.append(Layer(f"k{len(made)}", kind, kind, *shape, scheme, zeros=zeros, kept=kept, vectors=vectors))
    return made


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(tuple(layers()), no_graph_because="there is none")


@ALL
def test_every_target_says_something_sound_about_every_layer(each: Target, network: Network) -> None:
    verdicts = each.verdicts(network)
    assert len(verdicts) == len(network.layers)
    for layer, verdict in zip(network.layers, verdicts, strict=True):
        sound(layer, verdict)
        if layer.size > 1:  # a pattern that is offered can be trained: some weights go, the rest stays
            assert verdict.offer is None or 0 < verdict.offer.sparsity < 1
    assert set(each.schemes) <= set(SCHEMES) and each.about


def sound(layer: Layer, verdict: Verdict) -> None:
    assert verdict.kernel
    assert verdict.offer is not None or verdict.reasons, f"{layer.name}: nothing pays, and no reason is given"
    if verdict.offer is None:
        return
    offer = verdict.offer
    assert offer.buys in (LATENCY, SIZE) and offer.kernel
    assert offer.evidence or offer.unmeasured
    assert verdict.reasons or not offer.unmeasured, "what was not measured is said to be so"
    assert not offer.pays or (offer.evidence and not offer.unmeasured)
    for evidence in offer.evidence:
        assert evidence.source and evidence.repeat and evidence.against
        assert [s for s, _ in evidence.points] == sorted({s for s, _ in evidence.points})
        assert evidence.points or evidence.span
        assert evidence.break_even is None or 0 <= evidence.break_even <= 1
    if offer.pays and offer.break_even is not None:
        assert offer.break_even <= offer.sparsity + 0.01


@ALL
def test_a_target_without_layers_says_nothing(each: Target) -> None:
    assert each.verdicts(Network((), ())) == ()
