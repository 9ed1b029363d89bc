"""`unpack`: the file that was packed."""

from keras_sparse_edge.packed import MAX_SIZE, read_packed

from keras_sparse.atomic import distinct, write_atomically


def unpack(src, dst, max_size=MAX_SIZE):
    """Writes the file that `src` was packed from, the same bytes.

    Args:
        src: path of a file that `pack` wrote.
        dst: where to, such as "model.tflite".
        max_size: bytes that the file may have, by default what the format allows, 2 GiB. The packed file says its
            size at the beginning: a larger one is refused before memory is taken, which is at most four times as much.

    Returns:
        How many bytes it has.

    Raises:
        PackedError: a ValueError; the file is damaged, cut, not packed, or of more than `max_size` bytes. Then nothing
            is written.
        ValueError: `dst` is `src`, by whatever name.
        OSError: a file cannot be read or written.

    >>> import keras, tempfile
    >>> import keras_sparse as ks
    >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     artifact = ks.export(model, f"{folder}/model.onnx")
    ...     report = ks.pack(f"{folder}/model.onnx", f"{folder}/model.onnx.pack")
    ...     ks.unpack(f"{folder}/model.onnx.pack", f"{folder}/again.onnx") == report.bytes
    True
    """
    try:
        data = read_packed(src, max_size)
    except ValueError as error:
        raise type(error)(f"{src}: {error}") from error
    distinct(src, dst)
    write_atomically(dst, data)
    return len(data)
