"""Numbers on the command line."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """An integer of at least 1, for `type=` of an argument.

    >>> count("3")
    3
    """
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return value
