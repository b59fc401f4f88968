"""Plain lines of at most so many cells: cut in the middle, folded at spaces, safe to print."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from unicodedata import category, east_asian_width

from ckptkit.tree.paths import escape_text

WIDTH = 100  # cells of a line of a report


def printable(text: str) -> str:
    """Escape what a terminal could act upon; what prints stays, backslashes too."""
    return text if text.isprintable() else escape_text(text)


def cells(text: str) -> int:
    """How many cells of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(char) for char in text)


def shortened(text: str, width: int) -> str:
    """At most ``width`` cells, with an ellipsis in the middle where some were left out."""
    if cells(text) <= width:
        return text
    left, right = _taken(text, (width - 1) // 2), _taken(text[::-1], width - 1 - (width - 1) // 2)
    return f"{left}…{right[::-1]}"


def folded(text: str, width: int, n_lines: int) -> list[str]:
    """At most ``n_lines`` of at most ``width`` cells, broken at spaces; the last may end in …."""
    told: list[str] = []
    words = [shortened(word, width) for word in text.split(" ")]
    line = words[0]
    for position, word in enumerate(words[1:], 1):
        if cells(line) + 1 + cells(word) <= width:
            line += " " + word
            continue
        if len(told) == n_lines - 1:
            return [*told, shortened(" ".join([line, *words[position:]]), width)]
        told.append(line)
        line = word
    return [*told, line]


def columns(
    rows: Sequence[Sequence[str]], widths: Sequence[int | None], rights: Sequence[int] = ()
) -> Iterator[str]:
    """Cells in columns, each as wide as its widest cell and at most as its bound.

    The columns ``rights`` are right-aligned. Cells are raw and are escaped here.
    """
    safe = [[printable(cell) for cell in row] for row in rows]
    rooms = [
        min(max((cells(row[i]) for row in safe), default=0), bound or 1 << 30)
        for i, bound in enumerate(widths)
    ]
    for row in safe:
        told = []
        for i, cell in enumerate(row):
            cut = shortened(cell, rooms[i])
            pad = " " * (rooms[i] - cells(cut))
            told.append(pad + cut if i in rights else cut + pad)
        yield "  ".join(piece for piece, room in zip(told, rooms, strict=True) if room).rstrip()


def _cells_of(char: str) -> int:
    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in ("W", "F") else 1


def _taken(text: str, width: int) -> str:
    """As much of the beginning as fits."""
    for position, char in enumerate(text):
        width -= _cells_of(char)
        if width < 0:
            return text[:position]
    return text
