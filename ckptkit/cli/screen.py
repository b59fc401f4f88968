"""What is printed for people: tables by rich on a terminal, the same full width into a pipe.

Nothing here is markup: strings are shown as they are, after ``safe`` or ``escape_text``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 100_000  # a name in a pipe is never cut
INDENT = 2


def show(parts: Iterable[Any]) -> None:
    """Print renderables to stdout: coloured on a terminal, plain and uncut elsewhere."""
    plain = not sys.stdout.isatty()
    buffer = io.StringIO()
    console = Console(
        file=buffer if plain else None, width=_PIPE_WIDTH if plain else None,
        color_system=None if plain else "auto", force_terminal=False if plain else None,
        markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    for part in parts:
        console.print(part)
    if plain:
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def table(headings: Sequence[str], *, numbers: Sequence[int] = (), indent: int = INDENT) -> Any:
    """A table without lines; the columns in ``numbers`` are right-aligned, text folds, not cut."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for position, heading in enumerate(headings):
        right = position in numbers
        made.add_column(
            Text(heading, style="dim"), justify="right" if right else "left", no_wrap=right,
            overflow="fold",
        )  # fmt: skip
    return made, Padding(made, (0, 0, 0, indent))


def facts(rows: Iterable[tuple[str, Any]]) -> Any:
    """Labelled facts, one or more lines each; rows without a value are left out."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        if value:
            grid.add_row(label, value)
    return Padding(grid, (0, 0, 0, INDENT))


def text(*parts: str | tuple[str, str]) -> Text:
    """Text of plain strings and (string, style) pairs."""
    return Text.assemble(*parts)


def lines(items: Iterable[Text | str]) -> Text:
    """Several lines as one cell."""
    return Text("\n").join(item if isinstance(item, Text) else Text(item) for item in items)


LEVEL_STYLES = {"danger": "bold red", "warning": "yellow", "info": "cyan"}
