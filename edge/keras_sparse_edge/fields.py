"""Numbers one after the other, as packed files hold them."""

from __future__ import annotations

from keras_sparse_edge.errors import PackedError

MAX_BYTES = 5  # a number is below 2^32


class Fields:
    """Takes unsigned LEB128 numbers from `data`: seven bits a byte, low ones first; the last byte is below 128.

    >>> fields = Fields(bytes([5, 0x80 + 1, 2]))
    >>> fields.take("a"), fields.take("b")
    (5, 257)
    """

    def __init__(self, data: bytes | memoryview, position: int = 0) -> None:
        self._data = data
        self.position = position

    def take(self, name: str, low: int = 0, high: int = 2**32 - 1) -> int:
        """The next number; PackedError, with its name, if it is cut, longer than needed or not in [low, high]."""
        value = 0
        for i in range(MAX_BYTES):
            if self.position >= len(self._data):
                raise PackedError(f"{name} is cut")
            byte = self._data[self.position]
            self.position += 1
            value |= (byte & 127) << (7 * i)
            if byte < 128:
                if i and not byte:
                    raise PackedError(f"{name} must have no more bytes than it needs")
                if not low <= value <= high:
                    raise PackedError(f"{name} must be in [{low}, {high}]; got {value}")
                return value
        raise PackedError(f"{name} must have at most {MAX_BYTES} bytes")
