"""The pattern of XNNPACK's sparse kernels: each condition alone breaks a network that has it, and is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_sparse.targets import xnnpack_cnn as cnn
from keras_sparse.targets.network import CONV, DENSE, DEPTHWISE, Network, Operation

ALL_1 = ((1, 1), (1, 1))


def chain(**changes) -> Network:
    """entry 3x3/2 -> relu -> depthwise -> 1x1 "a" -> 1x1 "b" -> add with "a" -> mean -> dense."""
    operations = [
        Operation("entry", CONV, (0,), (1,), kernel=(3, 3), strides=(2, 2), channels=3, size=(32, 32), padding=ALL_1),
        Operation("relu", cnn.UNARY, (1,), (2,)),
        Operation(
            "depthwise", DEPTHWISE, (2,), (3,), kernel=(3, 3), channels=8, size=(16, 16), padding=ALL_1, same=True
        ),
        Operation("a", CONV, (3,), (4,), channels=8),
        Operation("b", CONV, (4,), (5,), channels=8),
        Operation("add", cnn.ADD, (4, 5), (6,)),
        Operation("mean", cnn.MEAN, (6,), (7,)),
        Operation("scores", DENSE, (7,), (8,), rank=2),
    ]
    unknown = set(changes) - {each.name for each in operations} - {"outputs", "more"}
    assert not unknown
    made = [replace(each, **changes.get(each.name, {})) for each in operations] + list(changes.get("more", ()))
    return Network((), tuple(made), changes.get("outputs", (8,)))


def test_the_whole_pattern_is_one_cluster() -> None:
    found = cnn.analyse(chain())
    (cluster,) = found.clusters
    assert cluster.convs == ("a", "b") and cluster.rewrites == ()
    assert cluster.operations == ("entry", "relu", "depthwise", "a", "b", "add", "mean")
    assert found.cluster_of("a") is cluster and found.cluster_of("entry") is None and found.misses == {}


@pytest.mark.parametrize(
    ("changes", "operation", "fault"),
    [
        ({"entry": {"kernel": (5, 5)}}, "entry", "5x5, which is neither 1x1 nor an entry"),
        ({"entry": {"strides": (1, 1)}}, "entry", "stride 1x1"),
        ({"entry": {"channels": 1}}, "entry", "reads 1 channels"),
        ({"entry": {"padding": ((0, 1), (0, 1))}}, "entry", "wants 1 on all four sides"),
        ({"entry": {"dilation": (2, 2)}}, "entry", "dilated by 2x2"),
        ({"entry": {"groups": 3}}, "entry", "3 groups"),
        ({"entry": {"floats": False}}, "entry", "does not compute in float"),
        ({"relu": {"kind": "MaxPooling2D"}}, "relu", "(MaxPooling2D) is no operation of the pattern"),
        ({"relu": {"rank": 3}}, "relu", "inputs of 3 axes"),
        ({"depthwise": {"kernel": (7, 7)}}, "depthwise", "7x7"),
        ({"depthwise": {"multiplier": 2}}, "depthwise", "multiplier 2"),
        ({"depthwise": {"padding": ((0, 0), (0, 0))}}, "depthwise", "wants 1 on all four sides"),
        ({"depthwise": {"strides": (3, 3)}}, "depthwise", "stride 3x3"),
        ({"a": {"strides": (2, 2)}}, "a", "1x1 with stride 2x2"),
        ({"a": {"groups": 2}}, "a", "2 groups"),
        ({"add": {"kind": "Subtract"}}, "add", "(Subtract)"),
        ({"mean": {"kind": "Flatten"}}, "mean", "(Flatten)"),
        ({"outputs": (8, 6)}, "add", "is the model's output"),
        ({"more": (Operation("peek", "Flatten", (2,), (9,)),)}, "peek", "(Flatten)"),
        ({"relu": {"inputs": (0,)}}, "relu", "reads the model's input"),
    ],
)
def test_each_condition_breaks_it_and_is_named(changes, operation, fault) -> None:
    found = cnn.analyse(chain(**changes))
    assert found.clusters == ()
    assert found.misses["b"].operation == operation and fault in str(found.misses["b"]), found.misses
    assert not found.misses["b"].by_form


@pytest.mark.parametrize(
    ("changes", "operation"),
    [
        ({"mean": {"keepdims": False}}, "mean"),
        ({"entry": {"same": True, "size": (33, 33)}}, "entry"),  # "same" is by 1 on all sides for odd sizes
        ({"entry": {"padding": ((1, 0), (1, 0))}}, "entry"),  # of 32 pixels the last zero is never reached
        ({"depthwise": {"padding": ((1, 0), (1, 0)), "strides": (2, 2), "size": (16, 16)}}, "depthwise"),
    ],
)
def test_what_misses_by_form_says_what_to_rewrite(changes, operation) -> None:
    (cluster,) = cnn.analyse(chain(**changes)).clusters
    (miss,) = cluster.rewrites
    assert miss.operation == operation and miss.by_form


def test_padding_that_reaches_further_is_another_function() -> None:
    """Of 33 pixels, a zero more gives an output more."""
    found = cnn.analyse(chain(entry={"padding": ((1, 0), (1, 0)), "size": (33, 33)}))
    assert found.clusters == () and found.misses["a"].operation == "entry"


def test_a_pad_before_a_convolution_is_its_padding() -> None:
    pad = Operation("pad", cnn.PAD, (0,), (10,), size=(32, 32), padding=ALL_1)
    entry = {"inputs": (10,), "padding": ((0, 0), (0, 0)), "size": (34, 34)}
    network = chain(entry=entry)
    assert cnn.analyse(Network((), (pad, *network.operations), (8,))).clusters
    # Not where something else reads the padded tensor, or the convolution pads by itself.
    other = Operation("other", CONV, (10,), (11,), kernel=(3, 3))
    assert not cnn.analyse(Network((), (pad, *network.operations, other), (8,))).clusters
    again = chain(entry={**entry, "same": True, "padding": ((0, 1), (0, 1))})
    assert not cnn.analyse(Network((), (pad, *again.operations), (8,))).clusters


def test_a_mean_may_stand_inside_as_in_squeeze_and_excite() -> None:
    squeeze = (
        Operation("pool", cnn.MEAN, (4,), (20,)),
        Operation("excite", CONV, (20,), (21,), channels=8),
        Operation("scale", cnn.MULTIPLY, (4, 21), (22,)),
    )
    network = chain(b={"inputs": (22,)}, more=squeeze)
    order = sorted(network.operations, key=lambda each: each.outputs[0] if each.outputs[0] < 20 else 4.5)
    (cluster,) = cnn.analyse(Network((), tuple(order), (8,))).clusters
    assert set(cluster.convs) == {"a", "b", "excite"}


def test_depth_to_space_ends_a_cluster() -> None:
    assert cnn.analyse(chain(mean={"kind": cnn.DEPTH_TO_SPACE})).clusters
    behind = Operation("after", cnn.UNARY, (7,), (9,))
    found = cnn.analyse(chain(mean={"kind": cnn.DEPTH_TO_SPACE}, more=(behind,)))
    assert found.cluster_of("a") is not None  # what comes behind is no part of it


def test_one_that_is_broken_leaves_another_whole() -> None:
    second = [
        replace(
            each, name=f"{each.name}2", inputs=tuple(t + 100 for t in each.inputs), outputs=(each.outputs[0] + 100,)
        )
        for each in chain(relu={"kind": "Softmax"}).operations
    ]
    found = cnn.analyse(chain(more=second))
    assert [each.convs for each in found.clusters] == [("a", "b")]
    assert set(found.misses) == {"a2", "b2"}


@pytest.mark.parametrize(("zeros", "enough"), [(66, False), (67, True), (0, False), (100, True)])
def test_more_than_two_thirds_of_all_must_be_zero(zeros, enough) -> None:
    (cluster,) = cnn.analyse(chain()).clusters
    sizes = {"a": 60, "b": 40}
    assert cluster.enough_zeros(sizes, {"a": min(zeros, 60), "b": max(0, zeros - 60)}) is enough


def test_exactly_two_thirds_are_not_enough() -> None:
    (cluster,) = cnn.analyse(chain()).clusters
    assert not cluster.enough_zeros({"a": 30, "b": 30}, {"a": 20, "b": 20})
    assert cluster.enough_zeros({"a": 30, "b": 30}, {"a": 20, "b": 21})


def windows(values: np.ndarray, pads: tuple[int, int], kernel: int, stride: int) -> list[tuple[float, ...]]:
    padded = np.pad(values, pads)
    return [tuple(padded[i : i + kernel]) for i in range(0, len(padded) - kernel + 1, stride)]


@given(st.integers(5, 40), st.sampled_from([3, 5]), st.integers(0, 3), st.integers(0, 3), st.sampled_from([1, 2]))
def test_padding_counts_as_form_only_where_every_window_is_the_same(size, kernel, before, after, stride) -> None:
    pad, values = kernel // 2, np.arange(1.0, size + 1)
    operation = Operation(
        "d", DEPTHWISE, (0,), (1,), kernel=(kernel, kernel), strides=(stride, stride), size=(size, size),
        padding=((before, after), (before, after)),
    )  # fmt: skip
    where, miss = cnn.place(operation)
    same = windows(values, (before, after), kernel, stride) == windows(values, (pad, pad), kernel, stride)
    assert (where is not None) == same
    assert (miss is None) == ((before, after) == (pad, pad))
