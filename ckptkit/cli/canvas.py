"""A drawing of characters: lines in braille dots, eight to a cell, or in one letter a cell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

# The bit of each dot of a braille cell, by row and column. Source: Unicode, block U+2800.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800


class Pen(NamedTuple):
    """How a line is drawn: ``letter`` where dots cannot tell it from others, "" for dots."""

    style: str = ""
    letter: str = ""


class Canvas:
    """``width`` by ``height`` cells. Places go from 0 to 1, from the lower left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots: dict[tuple[int, int], int] = {}
        self._letters: dict[tuple[int, int], str] = {}
        self._styles: dict[tuple[int, int], str] = {}

    def line(self, start: tuple[float, float], end: tuple[float, float], pen: Pen) -> None:
        """Draw a straight line; one from a place to itself is a point."""
        x0, y0 = self.cell(start) if pen.letter else self._grid(start, (2, 4))
        x1, y1 = self.cell(end) if pen.letter else self._grid(end, (2, 4))
        n_steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(n_steps + 1):
            x = x0 + round((x1 - x0) * step / n_steps)
            y = y0 + round((y1 - y0) * step / n_steps)
            self._dot(x, y, pen)

    def letter(self, at: tuple[float, float], letter: str, style: str) -> None:
        """Put one character on top of what is drawn, in the cell where a dot would stand."""
        cell = self.cell(at)
        self._letters[cell] = letter
        self._styles[cell] = style

    def upright(self, x: float, signs: Sequence[tuple[str, str]]) -> None:
        """Draw a vertical line behind everything else; several (letter, style) take turns."""
        column, _ = self.cell((x, 0.0))
        for row in range(self.height):
            cell = (column, row)
            if cell not in self._letters and cell not in self._dots:
                self._letters[cell], self._styles[cell] = signs[row % len(signs)]

    def cell(self, at: tuple[float, float]) -> tuple[int, int]:
        """The column and the row, counted from the top, in which a dot at a place stands."""
        x, y = self._grid(at, (2, 4))
        return x // 2, y // 4

    def rows(self) -> Iterator[list[tuple[str, str]]]:
        """Yield the rows from the top, each as (text, style) pairs."""
        for row in range(self.height):
            cells = [(self._shown((x, row)), self._style((x, row))) for x in range(self.width)]
            yield [
                ("".join(text for text, _ in run), style)
                for style, run in groupby(cells, key=lambda cell: cell[1])
            ]

    def _grid(self, at: tuple[float, float], fine: tuple[int, int]) -> tuple[int, int]:
        """The column and the row, counted from the top, in cells or in dots."""
        n_columns, n_rows = self.width * fine[0], self.height * fine[1]
        x, y = (min(max(place, 0.0), 1.0) for place in at)
        return round(x * (n_columns - 1)), round((1 - y) * (n_rows - 1))

    def _dot(self, x: int, y: int, pen: Pen) -> None:
        cell = (x, y) if pen.letter else (x // 2, y // 4)
        if pen.letter:
            self._letters[cell] = pen.letter
        else:
            self._dots[cell] = self._dots.get(cell, 0) | _BITS[y % 4][x % 2]
        self._styles[cell] = pen.style

    def _shown(self, cell: tuple[int, int]) -> str:
        if cell in self._letters:
            return self._letters[cell]
        return chr(_BRAILLE + self._dots[cell]) if cell in self._dots else " "

    def _style(self, cell: tuple[int, int]) -> str:
        return self._styles.get(cell, "")
