"""What is printed for people: tables by rich on a terminal, the same full width into a pipe.

Nothing here is markup: strings are shown as they are, after ``safe`` or ``escape_text``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 100_000  # a name in a pipe is never cut
INDENT = 2
_FOLDED_WIDTH = 6  # of any other column, at the least
_MIN_WIDTH = 14  # of the first column: a name that folds can still be read
_SHORT = frozenset(
    {"level", "how", "outcome", "by", "modified", "whole", "dtype", "shape", "histogram"}
)


def show(parts: Iterable[Any]) -> None:
    """Print renderables to stdout: coloured on a terminal, plain and uncut elsewhere."""
    plain = not sys.stdout.isatty()
    buffer = io.StringIO()
    console = Console(
        file=buffer if plain else None, width=_PIPE_WIDTH if plain else None,
        color_system=None if plain else "auto", force_terminal=False if plain else None,
        markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    width = console.width
    for part in parts:
        if part is not None:
            # Where the numbers alone need more than there is, the terminal wraps; rich would cut.
            console.width = max(width, getattr(part, "needed", 0))
            console.print(part)
    if plain:
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


class _Block(Padding):
    """An indented table. ``needed`` columns of text are the least that it can be shown in."""

    def __init__(self, content: Table, needed: int = 0) -> None:
        super().__init__(content, (0, 0, 0, INDENT))
        self.needed = needed + INDENT


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Sequence[str] = (),
    last_is_total: bool = False,
) -> Any:
    """A table without lines, and without the columns in which no row says anything.

    The columns called ``numbers`` are right-aligned. On a narrow terminal names and sentences
    fold, nothing is cut, and short words (``_SHORT``) stay in one piece.
    """
    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    told = [i for i in range(len(headings)) if any(row[i].plain for row in cells)]
    made = Table(box=None, pad_edge=False, padding=(0, 1), show_edge=False)
    needed = 2 * max(len(told) - 1, 0)
    for i in told:
        right = headings[i] in numbers
        longest = max(cell_len(text) for text in (headings[i], *(row[i].plain for row in cells)))
        whole = right or headings[i] in _SHORT
        least = longest if whole else min(longest, _FOLDED_WIDTH if made.columns else _MIN_WIDTH)
        needed += least
        made.add_column(
            Text(headings[i], style="dim"), justify="right" if right else "left",
            no_wrap=whole, overflow="fold", min_width=least,
        )  # fmt: skip
    for position, row in enumerate(cells):
        style = "bold" if last_is_total and position == len(cells) - 1 else ""
        made.add_row(*(row[i] for i in told), style=style)
    return _Block(made, needed)


def facts(rows: Iterable[tuple[str, Any]]) -> Any:
    """Labelled facts, one or more lines each; rows without a value are left out."""
    grid = Table(box=None, show_header=False, show_edge=False, pad_edge=False, padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        if value:
            grid.add_row(label, value)
    return _Block(grid) if grid.row_count else None


def text(*parts: str | tuple[str, str]) -> Text:
    """Text of plain strings and (string, style) pairs."""
    return Text.assemble(*parts)


def lines(items: Iterable[Text | str]) -> Text:
    """Several lines as one cell."""
    return Text("\n").join(item if isinstance(item, Text) else Text(item) for item in items)


LEVEL_STYLES = {"danger": "bold red", "warning": "yellow", "info": "cyan"}
