"""Where ranges go, on the list of calls alone."""

from __future__ import annotations

from collections import Counter

import keras
from keras import layers

from keras_sparse.train import graph, kernels, plan, roles


def planned(inputs, outputs, leave_out=()):
    """`(trace, plan, {layer name: tensors it makes})` with all kernels selected but those of the named layers."""
    model = keras.Model(inputs, outputs)
    trace = graph.trace(model)
    selected = {id(kernel.layer) for kernel in kernels.find(model) if kernel.layer.name not in leave_out}
    made = {call.layer.name: call.outputs[0] for call in trace.calls}
    return trace, plan.plan(trace, selected), made


def test_a_range_stands_where_the_fused_operation_ends():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(inputs))
    trace, found, made = planned(inputs, layers.ReLU(name="relu")(x))
    assert set(found.site_of) == {trace.inputs[0], made["relu"]}
    assert found.roles == [roles.WEIGHTED, roles.BATCH_NORM, roles.RELU]
    assert found.reads == [plan.INT8, plan.AS_IS, plan.AS_IS]


def test_what_another_layer_reads_too_is_not_fused():
    inputs = keras.Input((8, 8, 3))
    conv = layers.Conv2D(4, 3, name="conv")(inputs)
    _, found, made = planned(inputs, layers.Add(name="add")([conv, layers.ReLU(name="relu")(conv)]))
    assert {made["conv"], made["relu"], made["add"]} <= set(found.site_of)
    assert found.roles[1] == roles.COMPUTED


def test_tensors_that_are_concatenated_share_a_range_each_with_a_site():
    inputs = keras.Input((8, 8, 3))
    a, b = layers.Conv2D(4, 1, name="a")(inputs), layers.Conv2D(5, 1, name="b")(inputs)
    both = layers.Concatenate(name="both")([a, layers.MaxPooling2D(1, name="pool")(b)])
    _, found, made = planned(inputs, [both, layers.Add(name="sum")([a, a])])
    shared = {found.range_of[made[name]] for name in ("a", "b", "pool", "both")}
    assert len(shared) == 1
    assert sorted(found.site_of[made[name]] for name in ("a", "b")) == [0, 1]
    assert made["both"] not in found.site_of
    assert found.sites[shared.pop()] == 2
    assert found.range_of[made["sum"]] != found.range_of[made["both"]]


def test_concatenations_in_a_row_are_one_class():
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(2, 1, name="first")(inputs)
    for step in range(3):
        x = layers.Concatenate(name=f"c{step}")([x, layers.Conv2D(2, 1, name=f"conv{step}")(x)])
    _, found, made = planned(inputs, x)
    names = ["first", *[f"conv{i}" for i in range(3)], *[f"c{i}" for i in range(3)]]
    assert len({found.range_of[made[name]] for name in names}) == 1
    assert Counter(found.site_of[made[name]] for name in names if made[name] in found.site_of) == dict.fromkeys(
        range(4), 1
    )


def test_float_layers_get_no_ranges_around_them():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="float")(layers.ZeroPadding2D(1, name="pad")(inputs))
    x = layers.Conv2D(4, 3, name="int8")(layers.MaxPooling2D(2, name="pool")(x))
    trace, found, made = planned(inputs, x, leave_out=["float"])
    assert trace.inputs[0] not in found.range_of
    assert made["pad"] not in found.range_of
    # The pool moves the float layer's values to the int8 one, so it works on their range.
    assert set(found.site_of) == {made["float"], made["int8"]}
