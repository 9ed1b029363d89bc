"""A file is written whole or not at all: the writer of `edge/`, which both packages ship."""

from keras_sparse_edge.atomic import destination, distinct, write_atomically

__all__ = ["destination", "distinct", "write_atomically"]
