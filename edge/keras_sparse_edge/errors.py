"""What can be wrong: the bundle, a packed file, or the items given to a bundle."""

from __future__ import annotations


class BundleError(ValueError):
    """A bundle breaks the format, or what was given cannot be one; says what was required and what came.

    Also what a bundle holds beyond the size that was asked for.

    >>> from keras_sparse_edge.manifest import parse_manifest
    >>> parse_manifest(b"[]")
    Traceback (most recent call last):
        ...
    keras_sparse_edge.errors.BundleError: manifest must be a JSON object; got []
    """


class PackedError(ValueError):
    """A packed file breaks the format, or is larger than was asked for; says what was required and what came.

    >>> from keras_sparse_edge.packed import unpack_bytes
    >>> unpack_bytes(b"no packed file")
    Traceback (most recent call last):
        ...
    keras_sparse_edge.errors.PackedError: a packed file has at least 41 bytes; got 14
    """


class InputError(ValueError):
    """The items do not fit the bundle's raw item; the message names both."""


def shown(value: object) -> str:
    """`repr`, cut to what an error line can carry.

    >>> shown([1, "a"])
    "[1, 'a']"
    """
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
