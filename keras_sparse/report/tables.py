"""Tables for the terminal."""

import io

from rich.console import Console
from rich.markup import escape
from rich.table import Table

WIDTH = 120


def render(table, width=WIDTH):
    """A rich table as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip()


def build(title, columns, rows):
    """A table: `columns` are headings, those that end in ">" hold numbers and are set to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        right = column.endswith(">")
        table.add_column(column.removesuffix(">"), justify="right" if right else "left", overflow="fold")
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
