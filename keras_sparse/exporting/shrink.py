"""`shrink`: an int8 file without the channels that never change, equal bit for bit."""

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_sparse.atomic import destination, write_atomically
from keras_sparse.exporting import reference
from keras_sparse.exporting.check import ExportError
from keras_sparse.report import tables
from keras_sparse.runtime import isolated

ITEMS = 16
"""Inputs that two files are compared on: the lowest, the highest, both at random, and random ones."""

LEGEND = (
    "constant: channels that are the same for every input; unread: others on which no output depends. All are removed "
    "but those in the last column. Weights set to 0 only added a constant, which the bias now has."
)

WAYS = (("LiteRT", True), ("LiteRT without delegates", False))


@dataclass(frozen=True)
class ShrinkReport:
    """Sizes in bytes, multiply-accumulates of one run, and each layer: what was removed, what stays and why.

    `layers` have `name`, `operation` and `channels`, of these `constant`, the same for every input, and `unread`, those
    others on which no output depends; `removed`, of both; `zeros`, weights that were set to zero and stay; `stay`, why
    constant channels stay; `left`, why the layer was not looked into. `verified` names the runtimes in which outputs
    are equal bit for bit; it is empty where the file is the same, byte for byte.
    """

    file: str
    bytes_before: int
    bytes_after: int
    macs_before: int
    macs_after: int
    layers: tuple
    notes: tuple[str, ...]
    verified: tuple[str, ...]

    @property
    def removed(self):
        """Channels removed from all layers."""
        return sum(each.removed for each in self.layers)

    @property
    def zeros(self):
        """Weights that were set to zero and stay, in all layers."""
        return sum(each.zeros for each in self.layers)

    def to_dict(self):
        return {**dataclasses.asdict(self), "removed": self.removed, "zeros": self.zeros}

    def __str__(self):
        rows = [
            (each.name, each.operation, _counts(each), each.constant, each.unread, each.zeros, _said(each))
            for each in self.layers
            if each.constant or each.removed or each.zeros or each.left
        ]
        columns = ["output of", "operation", "channels>", "constant>", "unread>", "weights set to 0>", "why not more"]
        table, lines = ([tables.render(tables.build(None, columns, rows))], [LEGEND]) if rows else ([], [])
        lines += [f"{self.file}: {note}" for note in self.notes]
        lines.append(
            f"{self.file}: {self.removed} channels removed, {self.zeros} weights set to 0, "
            f"{tables.size(self.bytes_before)} -> {tables.size(self.bytes_after)}, "
            f"{self.macs_before:,} -> {self.macs_after:,} multiply-accumulates"
        )
        lines.append(
            f"equal bit for bit on {ITEMS} inputs in {' and '.join(self.verified)}" if self.verified else "unchanged"
        )
        return "\n".join([*table, *map(tables.wrap, lines)])


def _counts(layer):
    return f"{layer.channels} -> {layer.channels - layer.removed}" if layer.removed else str(layer.channels)


def _said(layer):
    return f"not looked into: {layer.left}" if layer.left else layer.stay


def shrink(src, dst, in_place=False):
    """Removes the int8 channels that are the same for every input from a `.tflite` file; its outputs stay the same.

    A channel is constant if the interval of its accumulator, from what its inputs can be, is rounded to one level by
    every kernel: its weights are zero, or a ReLU always cuts it off. Constants go through depthwise convolutions, ADD,
    MUL, PAD, pooling, MEAN, RESHAPE and CONCATENATION. What reads a constant channel c with weights w, gets a bias:

        bias += (c - zero point) * sum of w over the kernel

    where padding does not make that another sum at the border. A channel that then nothing reads is removed, with all
    that only it needs; the weights that read others become zero. Graph inputs and outputs keep their shapes. What
    cannot be proved is left as it is; the report says what, and why.

    XNNPACK rounds all channels alike. LiteRT's own kernels, which run without delegates, do not: DEPTHWISE_CONV_2D
    takes channels by 8, MEAN (that keeps dimensions), MUL and QUANTIZE by 16, and round the rest otherwise. So channels
    are removed only as far as those that stay are in blocks, or in the rest, as before. (With several threads, and
    without delegates, MEAN divides the channels among its threads, and may round some otherwise.)

    Both files run in LiteRT, with its default delegates and without, on random and extreme inputs. Nothing is written
    unless all outputs are equal bit for bit. Where nothing is found, `dst` has the bytes of `src`.

    Args:
        src: a `.tflite` file. Only int8 activations with int8 weights are looked into. Weights that are stored sparse
            keep their form.
        dst: where to.
        in_place: whether `dst` may be `src`, which then is replaced as a whole, once all is verified.

    Returns:
        A `ShrinkReport`: printable, `.to_dict()`.

    Raises:
        ValueError: `src` is no `.tflite` file, or is damaged; or `dst` is `src`, without `in_place`.
        ExportError: outputs differ.
        RuntimeFailure: a runtime does not load or run one of the files.

    >>> import keras
    >>> import keras_sparse as ks
    >>> layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(4)]
    >>> model = keras.Sequential([keras.Input((6,)), *layers])
    >>> _ = layers[0].bias.assign([-9.0] * 2 + [0.0] * 14)  # far below what the kernel can add
    >>> samples = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artifact = ks.export(model, f"{folder}/model.tflite", samples=samples, quantize="int8")
    ...     report = ks.shrink(artifact.path, f"{folder}/small.tflite")
    >>> report.removed, report.macs_before, report.macs_after
    (2, 160, 140)
    """
    from keras_sparse.exporting import tflite_shrink

    src, dst = Path(src), Path(dst)
    if not src.is_file():
        raise FileNotFoundError(f"There is no file {src}")
    destination(dst)
    if not in_place and dst.exists() and dst.samefile(src):
        raise ValueError(f"A file replaces itself with in_place=True only. Received: {src} and {dst}")
    data = src.read_bytes()
    try:
        shrunk = tflite_shrink.shrink(data)
    except ValueError as error:
        raise ValueError(f"{src} is {error}") from error
    verified = ()
    if shrunk.data != data:
        with tempfile.TemporaryDirectory() as folder:
            before, after = Path(folder, "before.tflite"), Path(folder, "after.tflite")
            before.write_bytes(data)
            after.write_bytes(shrunk.data)
            verified = _compare(before, after, shrunk.input_ranges, src)
    write_atomically(dst, shrunk.data)
    return ShrinkReport(
        str(src), len(data), len(shrunk.data), shrunk.macs_before, shrunk.macs_after, shrunk.layers, shrunk.notes,
        verified,
    )  # fmt: skip


def _compare(before, after, ranges, src):
    arrays = _inputs(reference.ports(before), ranges)
    for name, delegates in WAYS:
        old, new = (isolated.run(path, arrays, delegates=delegates) for path in (before, after))
        if [_exact(each) for each in old] != [_exact(each) for each in new]:
            raise ExportError(
                f"{src}: in {name}, outputs of the file without its constant channels differ. Nothing was written."
            )
    return tuple(name for name, _ in WAYS)


def _exact(array):
    return array.dtype, array.shape, array.tobytes()


def _inputs(ports, ranges):
    """`{name: items}`; as many as a file that runs several at a time takes whole."""
    generator, arrays = np.random.default_rng(0), {}
    for port in ports:
        low, high = ranges.get(port.name, (0, 1))
        shape = (ITEMS * (port.shape[0] or 1), *(size or 1 for size in port.shape[1:]))
        floating = port.dtype.startswith("float")
        values = generator.uniform(low, high, shape) if floating else generator.integers(low, high + 1, shape)
        parts = np.array_split(np.arange(len(values)), 8)
        values[parts[0]], values[parts[1]] = low, high
        values[parts[2]] = generator.choice([low, high], values[parts[2]].shape)
        arrays[port.name] = values.astype(port.dtype)
    return arrays
