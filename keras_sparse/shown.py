"""What came, in an error: `repr`, as short as a line can carry, whatever came."""

from __future__ import annotations

import reprlib

MOST = 200
"""Characters of a value, or of somebody else's message, in an error."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 4
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdict = 8
_SHORT.maxstring = _SHORT.maxother = 80


def shown(value: object) -> str:
    """`repr(value)`, cut in its depth, its length and its strings before it is made, so that it cannot grow.

    >>> shown([1, "a", {"b": 2}])
    "[1, 'a', {'b': 2}]"
    >>> shown(list(range(100)))
    '[0, 1, 2, 3, 4, 5, 6, 7, ...]'
    """
    return cut(_SHORT.repr(value))


def cut(text: str) -> str:
    """The text, on one line and with its middle left out where it is long.

    >>> cut("two\\nlines"), len(cut("long " * 1000)) <= MOST
    ('two lines', True)
    """
    text = " ".join(text.split())
    return text if len(text) <= MOST else f"{text[: MOST // 2]} ... {text[10 - MOST // 2 :]}"
