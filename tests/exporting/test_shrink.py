"""`ks.shrink`: files of Keras models and of others, run before and after."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_sparse as ks
from keras_sparse.exporting import check, shrink, tflite_file, tflite_liveness, tflite_model, tflite_shrink
from keras_sparse.runtime import isolated

DEAD = -100.0
"""A bias that a ReLU does not come back from."""


def samples(model, count=64):
    return np.random.default_rng(0).normal(size=(count, *model.inputs[0].shape[1:])).astype(np.float32)


def exported(model, path):
    return ks.export(model, path, samples=samples(model), quantize="int8").path


def silence(layer, *channels):
    bias = np.asarray(layer.bias)
    bias[list(channels)] = DEAD
    layer.bias.assign(bias)


def convolutions():
    """Two dead channels before a depthwise convolution, one after, and one in a 1x1 convolution before a flatten."""
    inputs = keras.Input((9, 7, 3))
    x = layers.Conv2D(20, 3, strides=2, padding="same", activation="relu", name="entry")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.Conv2D(6, 1, activation="relu", name="pointwise")(x)
    x = layers.Dense(5, name="scores")(layers.Flatten()(layers.MaxPooling2D(2)(x)))
    model = keras.Model(inputs, x)
    silence(model.get_layer("entry"), 3, 11)
    silence(model.get_layer("depthwise"), 0, 1, 2, 4, 5, 17)
    silence(model.get_layer("pointwise"), 2)
    return model


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """`(path, report, path of the shrunk file)` of `convolutions`."""
    folder = tmp_path_factory.mktemp("shrink")
    before = exported(convolutions(), folder / "before.tflite")
    return before, shrink.shrink(before, folder / "after.tflite"), folder / "after.tflite"


def test_dead_channels_of_a_keras_model_go(small):
    before, report, after = small
    # Alive are 9 of the first 16, which the depthwise kernel takes by eights: all stay. Of the rest of 4, one is dead.
    assert [(each.operation, each.channels, each.constant, each.removed) for each in report.layers] == [
        ("CONV_2D", 20, 2, 1), ("DEPTHWISE_CONV_2D", 20, 8, 1), ("CONV_2D", 6, 1, 1), ("FULLY_CONNECTED", 5, 0, 0)
    ]  # fmt: skip
    assert after.stat().st_size == report.bytes_after < report.bytes_before == before.stat().st_size
    assert report.macs_after < report.macs_before
    assert report.verified == ("LiteRT", "LiteRT without delegates")


def test_outputs_are_equal_bit_for_bit_on_real_inputs(small):
    before, _, after = small
    inputs = [samples(convolutions(), 200)]
    for delegates in (True, False):
        old, new = (isolated.run(path, inputs, delegates=delegates)[0] for path in (before, after))
        assert old.tobytes() == new.tobytes()


def test_shrinking_again_changes_nothing(small, tmp_path):
    _, _, after = small
    again = shrink.shrink(after, tmp_path / "again.tflite")
    assert (again.removed, again.zeros, again.verified) == (0, 0, ())
    assert (tmp_path / "again.tflite").read_bytes() == after.read_bytes()


def test_a_report_is_read_by_people_and_machines(small):
    _, report, _ = small
    read = json.loads(json.dumps(report.to_dict()))
    assert read["removed"] == sum(each["removed"] for each in read["layers"]) == report.removed
    assert "equal bit for bit on 16 inputs in LiteRT and LiteRT without delegates" in str(report)
    assert "DEPTHWISE" in str(report)


def test_the_table_tells_constant_channels_from_unread_ones(int8_graph, tmp_path):
    """Of 12 channels none is constant; eight of them nothing reads. Of the next 9, one is constant, and an output."""
    numbers = np.random.default_rng(0)
    graph = int8_graph(1, 3, 3, 3)
    at = graph.layer("CONV_2D", graph.input, numbers.integers(20, 99, (12, 1, 1, 3)), [0] * 12, 0.004)
    read = np.where(np.arange(12) < 8, 0, numbers.integers(20, 99, (9, 1, 1, 12)))
    at = graph.layer("CONV_2D", at, read, [0, -(10**7), *[0] * 7], 0.004)
    report = shrink.shrink(graph.save(tmp_path / "before.tflite", at), tmp_path / "after.tflite")
    first, second = report.layers
    assert (first.constant, first.unread, first.removed) == (0, 8, 8)
    assert (second.constant, second.unread, second.removed) == (1, 0, 0)
    printed = " ".join(str(report).split())
    assert "12 -> 4" in printed and "unread: others on which no output depends" in printed


def test_a_file_replaces_itself_only_where_that_is_asked_for(small, tmp_path):
    before, report, after = small
    path = tmp_path / "model.tflite"
    path.write_bytes(before.read_bytes())
    (tmp_path / "link.tflite").symlink_to(path)
    (tmp_path / "hard.tflite").hardlink_to(path)
    for dst in (path, tmp_path / "link.tflite", tmp_path / "hard.tflite"):
        with pytest.raises(ValueError, match="in_place=True"):
            shrink.shrink(path, dst)
    assert path.read_bytes() == before.read_bytes()
    shrink.shrink(path, path, in_place=True)
    assert path.read_bytes() == after.read_bytes() and path.stat().st_size == report.bytes_after
    path.write_bytes(before.read_bytes())
    shrink.shrink(path, tmp_path / "link.tflite", in_place=True)
    assert path.read_bytes() == after.read_bytes() and (tmp_path / "link.tflite").is_symlink()


def test_a_residual_net_with_a_mean_and_a_concatenation(tmp_path):
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(24, 3, padding="same", activation="relu", name="a")(inputs)
    b = layers.Conv2D(24, 3, padding="same", activation="relu", name="b")(a)
    c = layers.Conv2D(8, 1, activation="relu", name="c")(layers.Add()([a, b]))
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()([b, c]))
    model = keras.Model(inputs, layers.Dense(4, name="scores")(x))
    for name, dead in (("a", range(6)), ("b", range(3, 9)), ("c", range(4, 8))):
        silence(model.get_layer(name), *dead)
    report = shrink.shrink(exported(model, tmp_path / "before.tflite"), tmp_path / "after.tflite")
    # a and b are added: 3, 4, 5 are dead in both. What MEAN makes of a channel of zeros is zero.
    assert [each.removed for each in report.layers] == [3, 3, 4, 0]
    a, b, c, scores = report.layers
    assert a.stay.startswith("3 stay: FULLY_CONNECTED") and b.stay.startswith("3 stay: CONV_2D") and not c.stay
    assert b.zeros == 3 * 9 * 21 + 18 * 9 * 3  # rows of three dead channels; columns that read three of a
    assert scores.zeros == 3 * 4


def prune(layer, zeros=0.75):
    """Zeros in blocks of one output and 16 inputs, or all over where these do not fit."""
    kernel, numbers = np.asarray(layer.kernel), np.random.default_rng(1)
    inputs = kernel.shape[-2]
    width = 16 if inputs % 16 == 0 else 1
    kept = numbers.random((*kernel.shape[:-2], inputs // width, kernel.shape[-1])) >= zeros
    layer.kernel.assign(np.where(kept.repeat(width, -2), kernel, 0.0))


def forms(path):
    """How the file stores its kernels."""
    return [each.encoding for each in tflite_file.read(path).tensors if each.values.ndim > 1 and each.scale is not None]


def test_channels_of_weights_in_sparse_rows_go(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((7, 6, 8)),
            layers.Conv2D(48, 3, padding="same", activation="relu", name="first"),
            layers.Conv2D(32, 3, strides=2, activation="relu", name="second"),
            layers.Flatten(),
            layers.Dense(5, name="last"),
        ]
    )
    for name in ("first", "second"):
        prune(model.get_layer(name))
    silence(model.get_layer("first"), *range(0, 48, 3))
    silence(model.get_layer("second"), 5)
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    ks.export(model, before, samples=samples(model), quantize="int8", encoding="csr")
    report = shrink.shrink(before, after)
    assert [each.split()[0] for each in forms(before)] == [each.split()[0] for each in forms(after)]
    assert sorted(each.split()[0] for each in forms(after)) == ["csr", "csr", "dense"]
    assert [(each.removed, each.left) for each in report.layers] == [(16, ""), (1, ""), (0, "")]
    assert report.bytes_after < report.bytes_before and report.macs_after < 0.7 * report.macs_before
    assert report.verified == ("LiteRT", "LiteRT without delegates")


def test_channels_of_weights_in_blocks_go_by_whole_blocks(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((32,)),
            layers.Dense(64, activation="relu", name="first"),
            layers.Dense(48, activation="relu", name="second"),
            layers.Dense(6, name="last"),
        ]
    )
    for name in ("first", "second", "last"):
        prune(model.get_layer(name), 0.4)
    silence(model.get_layer("first"), *range(10, 30))
    silence(model.get_layer("second"), *range(7))
    before, after = tmp_path / "before.tflite", tmp_path / "after.tflite"
    ks.export(model, before, samples=samples(model), quantize="int8", encoding="block")
    report = shrink.shrink(before, after)
    assert forms(before) == forms(after) == ["block 1x16"] * 3
    # The next layer reads 16 at a time: of the dead channels of the first one block goes, of the second none.
    assert [each.removed for each in report.layers] == [16, 0, 0]
    assert [20 <= report.layers[0].constant < 32, 7 <= report.layers[1].constant < 16] == [True, True]
    assert report.layers[0].stay.endswith(tflite_liveness.INPUT_BLOCKS)
    assert report.bytes_after < report.bytes_before and report.verified


def test_what_a_failed_comparison_leaves(small, tmp_path, monkeypatch):
    before, _, _ = small
    right = tflite_shrink.shrink

    def wrong(data):
        shrunk = right(data)
        graph = tflite_model.Graph(tflite_model.load(shrunk.data))
        last = next(op for op in graph.operators if graph.name(op) == "FULLY_CONNECTED")
        graph.set_constant(int(last.inputs[1]), -graph.constant(int(last.inputs[1])))
        return dataclasses.replace(shrunk, data=tflite_model.dump(graph.model))

    monkeypatch.setattr(tflite_shrink, "shrink", wrong)
    with pytest.raises(check.ExportError, match="differ"):
        shrink.shrink(before, tmp_path / "after.tflite")
    assert not list(tmp_path.iterdir())


def test_a_float_file_is_left_as_it_is(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu")])
    before = ks.export(model, tmp_path / "float.tflite").path
    report = shrink.shrink(before, tmp_path / "after.tflite")
    assert (tmp_path / "after.tflite").read_bytes() == before.read_bytes()
    assert "nothing to do" in str(report) and "float" in report.notes[0] and not report.layers


def test_bad_input(tmp_path, small):
    with pytest.raises(FileNotFoundError, match="no file"):
        shrink.shrink(tmp_path / "none.tflite", tmp_path / "x.tflite")
    with pytest.raises(FileNotFoundError, match="no folder"):
        shrink.shrink(small[0], tmp_path / "none" / "x.tflite")
    bad = tmp_path / "bad.tflite"
    for data in (b"PK\x03\x04 something else", small[0].read_bytes()[:2000]):
        bad.write_bytes(data)
        with pytest.raises(ValueError, match=r"bad\.tflite is (not|a damaged)"):
            shrink.shrink(bad, tmp_path / "x.tflite")
    assert [each.name for each in tmp_path.iterdir()] == ["bad.tflite"]


@pytest.mark.parametrize("name", ["ad01_int8", "pretrainedResnet_quant"])
def test_the_mlperf_files(shared, tmp_path, name):
    before, after = shared / f"models/mlperf-tiny/{name}.tflite", tmp_path / "after.tflite"
    report = shrink.shrink(before, after)
    # No channel of them is the same for every input: nothing can be taken from them without loss.
    assert (report.removed, report.zeros, sum(each.constant for each in report.layers)) == (0, 0, 0)
    assert len(report.layers) == 10 and not any(each.left for each in report.layers)
    assert after.read_bytes() == before.read_bytes()


@pytest.mark.slow
def test_a_mobilenet_with_silenced_channels(tmp_path):
    """A third of the batch norms' channels is multiplied by zero: constants, through every depthwise convolution."""
    model = keras.applications.MobileNet((64, 64, 3), alpha=0.25, weights=None, classes=10)
    numbers = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = len(layer.get_weights()[0])
            gamma = numbers.uniform(0.5, 1.5, count) * (numbers.random(count) > 0.33)
            beta = np.where(gamma == 0, numbers.choice([-0.5, 0.0, 0.3], count), numbers.normal(0, 0.3, count))
            layer.set_weights([gamma, beta, numbers.normal(0, 0.1, count), numbers.uniform(0.5, 1.5, count)])
    before, after = exported(model, tmp_path / "before.tflite"), tmp_path / "after.tflite"
    report = shrink.shrink(before, after)
    depthwise = [each for each in report.layers if each.operation == "DEPTHWISE_CONV_2D"]
    assert len(depthwise) == 13 and all((each.channels - each.removed) % 8 == 0 for each in depthwise)
    assert sum(each.removed for each in depthwise) > sum(each.channels for each in depthwise) / 3
    assert report.bytes_after < 0.6 * report.bytes_before and report.macs_after < 0.6 * report.macs_before
    old, new = (isolated.run(path, [samples(model)])[0] for path in (before, after))
    assert old.tobytes() == new.tobytes()


def test_a_report_fits_the_terminal():
    layer = tflite_shrink.LayerReport("model/a_long_name/Relu", "CONV_2D", 1024, 4, 557, 561, 0, "", "")
    report = shrink.ShrinkReport(
        "m.tflite", 13**6, 10**6, 13**6, 10**6, (layer,), ("nothing to do: " + "a b " * 30,), ()
    )
    assert max(map(len, str(report).splitlines())) <= 80
    assert shrink.LEGEND in " ".join(str(report).split())
