"""The same graph, whatever tf2onnx called its nodes and in which order it left them."""

from __future__ import annotations

import random

import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import keras_sparse as ks
from keras_sparse.exporting.onnx_settled import settle


def graph(seed: int) -> onnx.GraphProto:
    """Two branches that share a transpose and a constant, named by whichever of them was there first, numbered anew."""
    chance = random.Random(seed)
    number = chance.randrange(1000)
    kept = chance.choice("ab")

    def made(name: str) -> str:
        nonlocal number
        number += 1
        return f"{name}__{number}"

    shared, constant = made(kept), chance.choice([made(f"const_{kept}"), f"{kept}/bias"])
    nodes = [
        helper.make_node("Transpose", ["x"], [f"{shared}:0"], name=shared, perm=[1, 0]),
        helper.make_node("Add", [f"{shared}:0", constant], ["a/Add:0"], name="a/Add"),
        helper.make_node("Mul", [f"{shared}:0", constant], ["b/Mul:0"], name="b/Mul"),
    ]
    for branch, before in (("a", "a/Add:0"), ("b", "b/Mul:0")):
        back = made(branch)
        nodes.append(helper.make_node("Transpose", [before], [f"{back}:0"], name=back, perm=[1, 0]))
        nodes.append(helper.make_node("Relu", [f"{back}:0"], [f"out_{branch}"], name=f"{branch}/Relu"))
    chance.shuffle(nodes)
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [made("unk"), 2])
        for name in (f"{shared}:0", "a/Add:0", "b/Mul:0")
    ]
    chance.shuffle(values)
    x, *outputs = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 2]) for n in ("x", "out_a", "out_b"))
    unshared = numpy_helper.from_array(np.float32(1), "never read")
    held = numpy_helper.from_array(np.float32([1, 2]), constant)
    return helper.make_graph(
        nodes, "g", [x], outputs, [held, unshared], f"converted from {made('f')}", value_info=values
    )


def test_names_and_order_follow_from_the_structure() -> None:
    first = graph(0)
    settle(first)
    onnx.checker.check_model(helper.make_model(first), full_check=True)
    assert [(node.name, *node.input) for node in first.node] == [
        ("a/Add/input_0", "x"),
        ("a/Add", "a/Add/input_0:0", "a/Add/input_1"),
        ("a", "a/Add:0"),
        ("a/Relu", "a:0"),
        ("b/Mul", "a/Add/input_0:0", "a/Add/input_1"),
        ("b", "b/Mul:0"),
        ("b/Relu", "b:0"),
    ]
    assert [each.name for each in first.initializer] == ["a/Add/input_1", "never read"]
    for seed in range(1, 50):
        other = graph(seed)
        settle(other)
        assert other.SerializeToString(deterministic=True) == first.SerializeToString(deterministic=True)


def test_what_graphs_inside_a_node_take_keeps_its_name() -> None:
    inside = helper.make_graph(
        [helper.make_node("Identity", ["taken__3:0"], ["y"])], "in", [], [helper.make_empty_tensor_value_info("y")]
    )
    nodes = [
        helper.make_node("Relu", ["x"], ["taken__3:0"], name="taken__3"),
        helper.make_node("If", ["c"], ["out"], name="if__4", then_branch=inside, else_branch=inside),
    ]
    x, out = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "out"))
    condition = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    made = helper.make_graph(nodes[::-1], "g", [x, condition], [out])
    settle(made)
    assert [node.name for node in made.node] == ["taken", "if"]
    assert made.node[0].output == ["taken__3:0"] and made.node[1].output == ["out"]
    onnx.checker.check_model(helper.make_model(made))


@pytest.mark.parametrize("size", [6, None])
def test_the_same_model_is_the_same_file_however_many_were_made_before(tmp_path, size) -> None:
    x = inputs = keras.Input((size, size, 2))
    for filters in (4, 6):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    x = keras.layers.Concatenate()([x, keras.layers.Conv2D(2, 1)(inputs)])
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalMaxPooling2D()(x)))
    first, second = (ks.export(model, tmp_path / f"{n}.onnx").path.read_bytes() for n in range(2))
    assert first == second
