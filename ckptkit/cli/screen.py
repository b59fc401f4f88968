"""What is printed for people: styled and folded on a terminal, plain and uncut into a pipe.

Every string is escaped here, whoever hands it in, so that no renderer can forget it. Nothing is
markup: a style stands beside its text, in a (text, style) pair.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ckptkit.cli.columns import Block, Cell, folded, laid_out, plain_lines
from ckptkit.cli.safe_text import safe

LEVEL_STYLES = {"danger": "bold red", "warning": "yellow", "info": "cyan"}

_MANY_ROWS = 1000  # so many are printed without styles, for speed


def show(parts: Iterable[Any]) -> None:
    """Print blocks, texts and strings to stdout."""
    if sys.stdout.isatty():
        _show_styled(parts)
        return
    for part in parts:
        if part is not None:
            sys.stdout.writelines(f"{line}\n" for line in _plain(part))


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Sequence[str] = (),
    optional: Sequence[str] = (),
    last_is_total: bool = False,
    has_paths: bool = False,
) -> Any:
    """A table without lines, and without the columns in which no row says anything.

    The columns called ``numbers`` are right-aligned. On a narrow terminal names and sentences
    fold; those called ``optional`` are left out where that is not enough. ``has_paths``: the first
    column is of paths, which stand under their folders there.
    """
    cells = [[_cell(cell) for cell in row] for row in rows]
    told = [i for i in range(len(headings)) if any(row[i] for row in cells)]
    return Block(
        headings=[safe(headings[i]) for i in told],
        rows=cells if len(told) == len(headings) else [[row[i] for i in told] for row in cells],
        numbers=numbers,
        optional=optional,
        last_is_total=last_is_total,
        has_paths=has_paths,
    )


def facts(rows: Iterable[tuple[str, Any]]) -> Any:
    """Labelled facts, one or more lines each; those without a value are left out."""
    told: list[list[Cell]] = [
        [Text(safe(label), style="dim"), _cell(value)] for label, value in rows if value
    ]
    return Block(headings=("whole", ""), rows=told, has_headings=False) if told else None


def text(*parts: str | tuple[str, str]) -> Text:
    """Text of plain strings and (string, style) pairs."""
    return Text.assemble(
        *(safe(part) if isinstance(part, str) else (safe(part[0]), part[1]) for part in parts)
    )


def lines(items: Iterable[Text | str]) -> Text:
    """Several lines as one cell."""
    return Text("\n").join(item if isinstance(item, Text) else Text(safe(item)) for item in items)


def joined(items: Iterable[Text]) -> Text:
    """Several texts as one line, with commas."""
    return Text(", ").join(items)


def _cell(value: Any) -> Cell:
    return value if isinstance(value, Text) else safe(value)


def _plain(part: Any) -> Iterator[str]:
    if isinstance(part, Block):
        yield from plain_lines(part, None)
    else:
        told = part.plain if isinstance(part, Text) else safe(part)
        yield from (line.rstrip() for line in told.split("\n"))


def _show_styled(parts: Iterable[Any]) -> None:
    console = Console(color_system="auto", markup=False, emoji=False, highlight=False)
    for part in parts:
        if isinstance(part, Block) and len(part.rows) > _MANY_ROWS:
            sys.stdout.writelines(f"{line}\n" for line in plain_lines(part, console.width))
        elif isinstance(part, Block):
            _print(console, laid_out(part, console.width))
        elif part is not None:
            _print(console, folded(_cell(part), console.width))


def _print(console: Console, told: Iterable[Cell]) -> None:
    """Print lines that are folded already; what is still too wide the terminal wraps."""
    whole = Text("\n").join(line if isinstance(line, Text) else Text(line) for line in told)
    console.print(whole, soft_wrap=True)
