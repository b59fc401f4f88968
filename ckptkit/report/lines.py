"""Plain lines of at most so many cells: names cut in the middle, sentences folded; printable."""

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
    """At most ``n_lines`` of at most ``width`` cells, broken at spaces; the last may end in ….

    A word that is wider than a line is broken where the line ends.
    """
    told: list[str] = []
    line = ""
    for word in (part for whole in text.split(" ") for part in _pieces(whole, width)):
        if told or line:
            if cells(line) + 1 + cells(word) <= width:
                line += " " + word
                continue
            told.append(line)
        line = word
    told.append(line)
    if len(told) <= n_lines:
        return told
    last = told[n_lines - 1]
    return [*told[: n_lines - 1], f"{_taken(last, width - 2)} …"]


def _pieces(word: str, width: int) -> Iterator[str]:
    """A word as it is, or in parts that fit a line each."""
    while cells(word) > width:
        part = _taken(word, width) or word[:1]
        yield part
        word = word[len(part) :]
    yield word


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
