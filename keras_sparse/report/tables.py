"""Tables for the terminal."""

import io
import textwrap

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 80

NAME = 18
"""Characters of the first column, which has the names, that are kept in one line before other columns are."""

UNBOUNDED = 100_000
"""A width at which a table is as wide as it wants to be."""


def render(table, width=WIDTH):
    """A table of `build` as plain text: what does not fit is wrapped, nothing is cut off."""
    names, excess = table.columns[0], Console(width=UNBOUNDED).measure(table).maximum - width
    if excess > 0:  # a fixed width: rich shrinks the others to what is left, and would not for a least width
        names.width = max(names.min_width, names.max_width - excess)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(line for line in lines if line)


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
    first = max(len(columns[0]), *(len(str(row[0])) for row in rows), 1)
    for place, column in enumerate(columns):
        widths = {} if place else {"min_width": min(first, NAME), "max_width": first}
        right = column.endswith(">")
        table.add_column(column.removesuffix(">"), justify="right" if right else "left", overflow="fold", **widths)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
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
