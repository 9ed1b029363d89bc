"""`unpack`: the file that was packed."""

from keras_sparse_edge.packed import read_packed

from keras_sparse.atomic import distinct, write_atomically


def unpack(src, dst):
    """Writes the file that `src` was packed from, the same bytes.

    Args:
        src: path of a file that `pack` wrote.
        dst: where to, such as "model.tflite".

    Returns:
        How many bytes it has. Raises `keras_sparse_edge.PackedError`, a ValueError, for a file that is damaged, cut or
        not packed, and ValueError if `dst` is `src` by whatever name; then nothing is written.

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
        data = read_packed(src)
    except ValueError as error:
        raise type(error)(f"{src}: {error}") from error
    distinct(src, dst)
    write_atomically(dst, data)
    return len(data)
