"""Cells in columns of a given width: what folds, where a word may break, what is left out.

The widths are ours: where rich would squeeze columns it breaks words, and 20,000 rows take it
seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from rich.cells import cell_len
from rich.text import Text

Cell = str | Text

_INDENT = 2
_GAP = 2  # between columns
# Columns of short words, which stay in one piece; every other text column may fold.
_SHORT = frozenset(
    {"level", "how", "outcome", "by", "modified", "whole", "dtype", "shape", "histogram"}
)
_LEAST = 5  # a column that folds is never narrower,
_LEAST_FIRST = 14  # and the first one, of names, is wider
_MAX_WORD = 24  # longer words are broken rather than that a column were left out
_MANY_ROWS = 1000  # in so many rows words are not measured
_MARKS = "/.,_-"  # a name may break behind these
_WORD = re.compile(r"[^/.,_\-\s]*[/.,_\-\s]?")


@dataclass(slots=True, kw_only=True)
class Block:
    """Rows of cells under headings, laid out when the width is known.

    ``optional``: headings of columns that are left out where they do not fit, the last one first.
    ``has_paths``: the first column is of paths, which where they do not fit stand under their
    folders (``in_folders``): each folder is a row of one cell.
    """

    headings: Sequence[str]
    rows: list[list[Cell]]
    numbers: Sequence[str] = ()
    optional: Sequence[str] = ()
    has_headings: bool = True
    has_paths: bool = False
    in_folders: bool = False
    last_is_total: bool = False

    def can_fold(self, column: int) -> bool:
        """Whether the words of a column may stand in several lines."""
        return self.headings[column] not in self.numbers and self.headings[column] not in _SHORT

    def without(self, heading: str) -> Block:
        """The same less one column."""
        gone = list(self.headings).index(heading)
        rows = [[*row[:gone], *row[gone + 1 :]] for row in self.rows]
        headings = [name for name in self.headings if name != heading]
        return replace(self, headings=headings, rows=rows)


def laid_out(block: Block, width: int | None) -> Iterator[Text]:
    """Yield the lines with their styles. ``width`` None is unbounded."""
    block, widths = _fitted(block, width)
    if block.has_headings:
        yield from _styled([Text(name, "dim") for name in block.headings], block, widths)
    for position, row in enumerate(block.rows):
        is_total = block.last_is_total and position == len(block.rows) - 1
        if _is_folder(row, block):
            yield from (Text(str(line), "bold") for line in _folder_lines(row, width))
            continue
        for line in _styled(row, block, widths):
            if is_total:
                line.stylize("bold")
            yield line


def plain_lines(block: Block, width: int | None) -> Iterator[str]:
    """Yield the lines as plain strings, many times faster."""
    block, widths = _fitted(block, width)
    rights = [name in block.numbers for name in block.headings]
    head: list[list[Cell]] = [[*block.headings]] if block.has_headings else []
    for row in chain(head, block.rows):
        if _is_folder(row, block):
            yield from map(str, _folder_lines(row, width))
            continue
        cells = [cell if isinstance(cell, str) else cell.plain for cell in row]
        columns = [folded(cell, room) for cell, room in zip(cells, widths, strict=True)]
        for pieces in zip_longest(*columns, fillvalue=""):
            padded = [
                _padded(str(piece), room, right=right)
                for piece, room, right in zip(pieces, widths, rights, strict=True)
            ]
            yield (" " * _INDENT + (" " * _GAP).join(padded)).rstrip()


def folded(cell: Cell, width: int) -> list[Cell]:
    """A cell in lines of at most ``width``, broken at spaces, else behind a mark of a name."""
    whole: list[Cell]
    if isinstance(cell, str):
        whole = [*cell.split("\n")] if "\n" in cell else [cell]
    else:
        whole = [*cell.split("\n", allow_blank=True)]
    told: list[Cell] = []
    for line in whole:
        plain = line if isinstance(line, str) else line.plain
        if width_of(plain) <= width:
            told.append(line)
            continue
        ends = [*_breaks(plain, width), len(plain)]
        if isinstance(line, str):
            told += [line[a:b].rstrip() for a, b in zip([0, *ends], ends, strict=False)]
        else:
            for piece in line.divide(ends[:-1]):
                piece.rstrip()
                told.append(piece)
    return told


def width_of(plain: str) -> int:
    """How many cells of a terminal a text takes."""
    return len(plain) if plain.isascii() else cell_len(plain)


def _is_folder(row: Sequence[Cell], block: Block) -> bool:
    return len(row) < len(block.headings)


def _folder_lines(row: Sequence[Cell], width: int | None) -> list[Cell]:
    return folded(row[0], width or len(row[0]))


def _under_folders(block: Block) -> Block:
    """The same with each path as a name, below the folder that it shares with its neighbours."""
    rows: list[list[Cell]] = []
    above = ""
    for path, *rest in block.rows:
        folder, slash, name = str(path).rpartition("/")
        if folder + slash != above:
            above = folder + slash
            rows.append([above or "./"])
        rows.append([name, *rest])
    return replace(block, rows=rows, has_paths=False, in_folders=True)


def _styled(row: Sequence[Cell], block: Block, widths: Sequence[int]) -> Iterator[Text]:
    columns = [folded(cell, room) for cell, room in zip(row, widths, strict=True)]
    for pieces in zip_longest(*columns, fillvalue=""):
        line = Text(" " * _INDENT)
        for i, piece in enumerate(pieces):
            plain = piece if isinstance(piece, str) else piece.plain
            pad = " " * (widths[i] - width_of(plain))
            right = block.headings[i] in block.numbers
            line.append(pad if right else "").append(piece)
            line.append("" if right else pad).append(" " * _GAP)
        line.rstrip()
        yield line


def _padded(piece: str, room: int, *, right: bool) -> str:
    pad = " " * (room - width_of(piece))
    return pad + piece if right else piece + pad


def _breaks(plain: str, width: int) -> Iterator[int]:
    """Where the lines after the first begin."""
    start, width = 0, max(width, 1)
    while True:
        end = _furthest(plain, start, width)
        if end >= len(plain):
            return
        cut = _best_break(plain, start, end, width)
        yield cut
        start = cut


def _furthest(plain: str, start: int, width: int) -> int:
    """The end of what fits; one character always does."""
    end, room = start, width
    while end < len(plain) and end < start + width:
        room -= 1 if plain[end].isascii() else cell_len(plain[end])
        if room < 0:
            break
        end += 1
    return max(end, start + 1)


def _best_break(plain: str, start: int, end: int, width: int) -> int:
    if plain[end] == " ":
        return end + 1
    space = plain.rfind(" ", start + 1, end) + 1
    word_end = plain.find(" ", end)
    word_end = len(plain) if word_end < 0 else word_end
    if space and word_end - space <= width:
        return space  # the word has room on the next line
    mark = max(plain.rfind(mark, start, end) for mark in _MARKS) + 1
    return max(mark, space) if max(mark, space) > start else end


def _fitted(block: Block, width: int | None) -> tuple[Block, list[int]]:
    """Put paths under folders first, fold between words, leave out columns, break words."""
    needed = _needed(block)
    if width is None:
        return block, needed
    room = width - _INDENT
    if block.has_paths and sum(needed) + _GAP * (len(needed) - 1) > room:
        return _fitted(_under_folders(block), width)
    optional = [name for name in block.optional if name in block.headings]
    while True:
        free = room - _GAP * (len(needed) - 1)
        if sum(_leasts(block, needed, by_words=True)) <= free:
            return block, _shares(needed, _leasts(block, needed, by_words=True), free)
        if not optional:
            return block, _shares(needed, _leasts(block, needed, by_words=False), free)
        block = block.without(optional.pop())
        needed = _needed(block)


def _needed(block: Block) -> list[int]:
    """The width of each column with nothing folded."""
    widths = [width_of(name) if block.has_headings else 0 for name in block.headings]
    for row in block.rows:
        if _is_folder(row, block):
            continue
        for i, cell in enumerate(row):
            plain = cell if isinstance(cell, str) else cell.plain
            wide = max(map(width_of, plain.split("\n"))) if "\n" in plain else width_of(plain)
            widths[i] = max(widths[i], wide)
    return widths


def _leasts(block: Block, needed: Sequence[int], *, by_words: bool) -> list[int]:
    leasts = []
    for i, wide in enumerate(needed):
        least = wide
        if block.can_fold(i):
            least = _LEAST_FIRST if i == 0 else _LEAST
            if by_words and i == 0 and block.in_folders:
                least = wide  # a name in one piece says more than a column that may go
            elif by_words and len(block.rows) <= _MANY_ROWS:
                least = max(least, min(_longest_word(block, i), _MAX_WORD))
        leasts.append(min(wide, least))
    return leasts


def _longest_word(block: Block, column: int) -> int:
    texts = [row[column] for row in block.rows if not _is_folder(row, block)]
    plain = "\n".join(text if isinstance(text, str) else text.plain for text in texts)
    return max(
        (width_of(word.rstrip()) for word in _WORD.findall(plain)), default=0
    )  # fmt: skip


def _shares(needed: Sequence[int], leasts: Sequence[int], free: int) -> list[int]:
    """The widest columns give way, none below its least; the sum is ``free`` where that can be."""
    if sum(needed) <= free:
        return list(needed)

    def capped(cap: int) -> list[int]:
        return [max(low, min(wide, cap)) for low, wide in zip(leasts, needed, strict=True)]

    low, high = 0, max(needed)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if sum(capped(middle)) <= free else (low, middle - 1)
    widths = capped(low)
    for i, wide in enumerate(needed):  # what is left over, one cell each
        if sum(widths) < free and widths[i] == low < wide:
            widths[i] += 1
    return widths
