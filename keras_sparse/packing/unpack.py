"""`unpack`: the file that was packed."""

from keras_sparse_edge.packed import read_packed

from keras_sparse.exporting.atomic import write_atomically


def unpack(src, dst):
    """Writes the file that `src` was packed from, the same bytes.

    Args:
        src: path of a file that `pack` wrote.
        dst: where to, such as "model.tflite".

    Returns:
        How many bytes it has. Raises `keras_sparse_edge.PackedError`, a ValueError, for a file that is damaged, cut or
        not packed; then nothing is written.

    See `pack` for an example.
    """
    try:
        data = read_packed(src)
    except ValueError as error:
        raise type(error)(f"{src}: {error}") from error
    write_atomically(dst, data)
    return len(data)
