"""Blocks of alike names as plain lines: kind, count, names, what is said of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ckptkit.report.lines import WIDTH, cells, printable, shortened
from ckptkit.report.summary import Block, Row, shown_rows

_LEAST_NAME = 28


class _Told(NamedTuple):
    """The cells of one line, printable; ``pair`` is two names that have the line to themselves."""

    kind: str
    size: str
    name: str
    detail: str = ""
    pair: tuple[str, str] = ("", "")


def row_lines(blocks: Sequence[Block], given: Sequence[int]) -> Iterator[str]:
    """Yield the lines of blocks, each of which was given so many."""
    told = [[*_told(block, n)] for block, n in zip(blocks, given, strict=True) if n]
    every = [line for lines in told for line in lines]
    kind = max((len(line.kind) for line in every), default=0)
    count = max((len(line.size) for line in every), default=0)
    room = WIDTH - kind - count - 6
    for lines in told:
        name = _name_width(lines, room)
        for line in lines:
            text = (
                _joined(*line.pair, line.detail, room) if line.pair[0] else _text(line, name, room)
            )
            yield f"  {line.kind:<{kind}}  {line.size:>{count}}  {text}".rstrip()


def _told(block: Block, n_lines: int) -> Iterator[_Told]:
    shown, more = shown_rows(block, n_lines)
    kind = block.kind
    for row in shown:
        yield _row(row, kind)
        kind = ""
    if more:
        yield _Told(kind, "", more)


def _row(row: Row, kind: str) -> _Told:
    names, sources, detail = printable(row.names), printable(row.sources), printable(row.detail)
    pair = (sources, names) if sources else ("", "")
    return _Told(kind, f"{row.size:,}", names, detail, pair)


def _name_width(lines: Sequence[_Told], room: int) -> int:
    """How wide the column of names is: shapes say more than the middle of a name."""
    plain = [line for line in lines if line.detail and not line.pair[0]]
    name = max((cells(line.name) for line in plain), default=0)
    detail = max((cells(line.detail) for line in plain), default=0)
    if name + 2 + detail > room:
        name = min(name, max(room - 2 - detail, _LEAST_NAME))
    return name


def _text(line: _Told, name: int, room: int) -> str:
    if not line.detail:
        return shortened(line.name, room)
    cut = shortened(line.name, name)
    return cut + " " * (name - cells(cut)) + "  " + shortened(line.detail, room - 2 - name)


def _joined(source: str, name: str, detail: str, room: int) -> str:
    """``source -> name`` and what is said of them, if there is room for it."""
    told = f"{source} -> {name}"
    if cells(told) + 2 + cells(detail) <= room:
        return f"{told}  {detail}".rstrip()
    free = room - 4
    half = max(free // 2, free - cells(name))
    rest = free - min(half, cells(source))
    return f"{shortened(source, half)} -> {shortened(name, rest)}"
