"""What is printed for people: tables by rich on a terminal, the same full width into a pipe.

Nothing here is markup: strings are shown as they are, after ``safe`` or ``escape_text``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

LEVEL_STYLES = {"danger": "bold red", "warning": "yellow", "info": "cyan"}

_PIPE_WIDTH = 100_000  # a name in a pipe is never cut
_INDENT = 2
_GAP = 2  # between columns
# Columns of short words, which stay in one piece; every other text column may fold.
_SHORT = frozenset(
    {"level", "how", "outcome", "by", "modified", "whole", "dtype", "shape", "histogram"}
)
_LEAST = 5  # a column that folds is never narrower,
_LEAST_FIRST = 14  # and the first one, of names, is wider


@dataclass(slots=True, kw_only=True)
class _Block:
    """Cells in columns, laid out when the width is known."""

    headings: Sequence[str]
    rows: list[list[Text]]
    numbers: Sequence[str] = ()
    has_headings: bool = True
    last_is_total: bool = False


def show(parts: Iterable[Any]) -> None:
    """Print blocks and texts to stdout: coloured on a terminal, plain and uncut elsewhere."""
    plain = not sys.stdout.isatty()
    buffer = io.StringIO()
    console = Console(
        file=buffer if plain else None, width=_PIPE_WIDTH if plain else None,
        color_system=None if plain else "auto", force_terminal=False if plain else None,
        markup=False, emoji=False, highlight=False,
    )  # fmt: skip
    width = console.width
    for part in parts:
        if isinstance(part, _Block):
            # The widths are ours: where rich would squeeze columns it loses words.
            console.width = _PIPE_WIDTH
            console.print(_laid_out(part, width))
            console.width = width
        elif part is not None:
            console.print(part)
    if plain:
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in buffer.getvalue().splitlines())


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Sequence[str] = (),
    last_is_total: bool = False,
) -> Any:
    """A table without lines, and without the columns in which no row says anything.

    The columns called ``numbers`` are right-aligned. On a narrow terminal names and sentences
    fold, and nothing is cut.
    """
    cells = [[cell if isinstance(cell, Text) else Text(str(cell)) for cell in row] for row in rows]
    told = [i for i in range(len(headings)) if any(row[i].plain for row in cells)]
    return _Block(
        headings=[headings[i] for i in told],
        rows=[[row[i] for i in told] for row in cells],
        numbers=numbers,
        last_is_total=last_is_total,
    )


def facts(rows: Iterable[tuple[str, Any]]) -> Any:
    """Labelled facts, one or more lines each; those without a value are left out."""
    told = [
        [Text(label, style="dim"), value if isinstance(value, Text) else Text(str(value))]
        for label, value in rows
        if value
    ]
    return _Block(headings=("whole", ""), rows=told, has_headings=False) if told else None


def text(*parts: str | tuple[str, str]) -> Text:
    """Text of plain strings and (string, style) pairs."""
    return Text.assemble(*parts)


def lines(items: Iterable[Text | str]) -> Text:
    """Several lines as one cell."""
    return Text("\n").join(item if isinstance(item, Text) else Text(item) for item in items)


def _laid_out(block: _Block, width: int) -> Padding:
    made = Table(
        box=None, show_edge=False, pad_edge=False, padding=(0, _GAP, 0, 0),
        show_header=block.has_headings,
    )  # fmt: skip
    for heading, room in zip(block.headings, _widths(block, width - _INDENT), strict=True):
        right = heading in block.numbers
        made.add_column(
            Text(heading, style="dim"), width=room, justify="right" if right else "left",
            no_wrap=right or heading in _SHORT, overflow="fold",
        )  # fmt: skip
    for position, row in enumerate(block.rows):
        is_total = block.last_is_total and position == len(block.rows) - 1
        made.add_row(*row, style="bold" if is_total else "")
    return Padding(made, (0, 0, 0, _INDENT), expand=False)


def _widths(block: _Block, room: int) -> list[int]:
    """What each column needs, and where that is too much the widest of those that fold give way.

    If the others alone need more, the sum is too wide and the terminal wraps the lines.
    """
    widths = [
        max(
            Text(heading).cell_len if block.has_headings else 0,
            *(max(line.cell_len for line in row[i].split("\n")) if row[i] else 0
              for row in block.rows),
        )
        for i, heading in enumerate(block.headings)
    ]  # fmt: skip
    folding = {
        i: _LEAST_FIRST if i == 0 else _LEAST
        for i, heading in enumerate(block.headings)
        if heading not in block.numbers and heading not in _SHORT
    }
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    while excess > 0:
        able = [i for i, least in folding.items() if widths[i] > least]
        if not able:
            break
        widest = max(able, key=lambda i: widths[i])
        widths[widest] -= 1
        excess -= 1
    return widths
