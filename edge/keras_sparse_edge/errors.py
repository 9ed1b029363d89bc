"""What can be wrong: the bundle, a packed file, or the items given to a bundle."""

from __future__ import annotations


class BundleError(ValueError):
    """A bundle breaks the format; the message names what was required and what came."""


class PackedError(ValueError):
    """A packed file breaks the format; the message names what was required and what came."""


class InputError(ValueError):
    """The items do not fit the bundle's raw item; the message names both."""


def shown(value: object) -> str:
    """`repr`, cut to what an error line can carry.

    >>> shown([1, "a"])
    "[1, 'a']"
    """
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
