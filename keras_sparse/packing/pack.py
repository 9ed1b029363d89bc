"""`pack`: a `.tflite` or `.onnx` file near its entropy."""

from dataclasses import replace
from pathlib import Path

from keras_sparse_edge.packed import MAX_SIZE, unpack_bytes

from keras_sparse import target
from keras_sparse.atomic import destination, distinct, write_atomically
from keras_sparse.packing.choose import choose
from keras_sparse.packing.container import build, exceeds
from keras_sparse.packing.report import PackReport, describe


def pack(src, dst):
    """Packs a model file without loss: weight tensors as positions and values, entropy coded, the rest by LZMA.

    What is smaller wins for each tensor, and for the file as a whole, which is never larger than what `xz -9e` makes:
    LZMA is run on all of it to know, about a second for a megabyte. Before the file is put in place, it is unpacked in
    memory and compared byte by byte. The same file gives the same bytes. `edge/FORMAT.md` is the format, and
    `keras_sparse_edge.read_packed` reads it on a device.

    Args:
        src: path of a `.tflite` or `.onnx` file, sparse or not.
        dst: where to, such as "model.tflite.pack".

    Returns:
        A `PackReport`: bytes before and after; for each constant how it is coded, its bits per weight, and the bound of
        that. Printable, `.to_dict()`. Raises ValueError for what is no such file or damaged, or if `dst` is `src` by
        whatever name, OSError for what cannot be read or written; then an older file at `dst` is as it was.

    >>> import keras, tempfile
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artifact = ks.export(model, f"{folder}/model.tflite")
    ...     report = ks.pack(f"{folder}/model.tflite", f"{folder}/model.tflite.pack")
    ...     ks.unpack(f"{folder}/model.tflite.pack", f"{folder}/again.tflite") == report.bytes
    True
    >>> report.bytes_packed < report.bytes
    True
    """
    src, dst = Path(src), Path(dst)
    spans = _finder(src)
    data = src.read_bytes()
    destination(dst)
    distinct(src, dst)
    if not 1 <= len(data) <= MAX_SIZE:
        raise ValueError(f"{src} must have 1 to {MAX_SIZE} bytes to be packed. Received: {len(data)}")
    try:
        choices = choose(data, spans(data))
    except ValueError as error:
        raise ValueError(f"{src}: {error}") from error
    packed, choices = _smaller(data, choices)
    if unpack_bytes(packed) != data:
        raise RuntimeError(f"{src} was packed, but its bytes did not come back; nothing was written to {dst}")
    write_atomically(dst, packed)
    return PackReport(str(dst), len(data), len(packed), tuple(describe(each) for each in choices))


def _smaller(data, choices):
    """With its tensors coded, or as a whole by the general compressor: that is found by doing both, at any size."""
    coded = [choice.coded for choice in choices if choice.coded is not None]
    packed = build(data, coded)
    if not coded or exceeds(data, len(packed)):
        return packed, choices
    whole = build(data, [])
    if len(packed) <= len(whole):
        return packed, choices
    return whole, [replace(choice, coded=None, bits=None) for choice in choices]


def _finder(src):
    if target.find(src).name == "litert":
        from keras_sparse.exporting.tflite_spans import spans
    else:
        from keras_sparse.exporting.onnx_spans import spans
    return spans
