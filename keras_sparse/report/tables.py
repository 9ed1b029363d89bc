"""Tables for the terminal."""

import io
import textwrap

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH = 80

NAME = 18
"""Characters of the first column, which has the names, that are kept in one line before other columns are."""

UNBOUNDED = 100_000
"""A width at which a table is as wide as it wants to be."""

LEAST = 4
"""Characters that a column of text keeps where words have to be broken."""


def render(table, width=WIDTH):
    """A table of `build` as plain text: what does not fit is wrapped, nothing is cut off."""
    for column, each in zip(table.columns, _widths(table, width), strict=True):
        column.width = each
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(line for line in lines if line)


def _widths(table, width):
    """Of each column: headings and names are wrapped first, then text, then words are broken, and numbers at last."""
    cells = [[cell.plain for cell in column.cells] for column in table.columns]
    headings = [str(column.header) for column in table.columns]
    numbers = [column.justify == "right" for column in table.columns]
    lines = [max(map(_longest_line, each), default=0) for each in cells]
    words = [max(map(len, " ".join(each).split()), default=0) for each in cells]
    heads = [max(map(len, each.split()), default=1) for each in headings]
    widths = [max(len(heading), line) for heading, line in zip(headings, lines, strict=True)]
    whole = [max(pair) for pair in zip(heads, lines, strict=True)]
    parts = [
        max(head, line if number else word)
        for head, line, word, number in zip(heads, lines, words, numbers, strict=True)
    ]
    whole[0] = parts[0] = min(widths[0], NAME)
    text = [part if number else LEAST for part, number in zip(parts, numbers, strict=True)]
    excess = Console(width=UNBOUNDED).measure(table).maximum - width
    for least in (whole, parts, text, [1] * len(parts)):
        while excess > 0 and any(w > most for w, most in zip(widths, least, strict=True)):
            place = max((i for i, w in enumerate(widths) if w > least[i]), key=widths.__getitem__)
            widths[place] -= 1
            excess -= 1
    return widths


def _longest_line(text):
    return max(map(len, text.splitlines()), default=0)


def wrap(text, width=WIDTH):
    """A note below a table: later lines are indented, and names, paths and addresses stay whole.

    >>> print(wrap("1: dense int8 kernels", 16))
    1: dense int8
       kernels
    """
    return textwrap.fill(text, width, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False)


def build(title, columns, rows):
    """A table: `columns` are headings, those that end in ">" hold numbers and are set to the right."""
    narrow = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False, "padding": (0, 1, 0, 0)}
    table = Table(title=title, title_justify="left", title_style="bold", **narrow)
    for column in columns:
        right = column.endswith(">")
        table.add_column(column.removesuffix(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def size(count):
    """Bytes as people read them.

    >>> size(21560), size(812)
    ('21.6 kB', '812 B')
    """
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1e6 else f"{count / 1e6:.2f} MB"


def percent(fraction, digits=2):
    """A fraction as a percentage.

    >>> percent(0.8)
    '80.00 %'
    """
    return f"{100 * fraction:.{digits}f} %"
