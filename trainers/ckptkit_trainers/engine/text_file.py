"""Text files of a data set: captions, splits."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ckptkit.plugin import errors


def read_text(path: Path) -> str:
    """Read UTF-8, with or without the mark that spreadsheets put first.

    Raises: UnknownFormatError for another encoding.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise errors.UnknownFormatError(
            path, f"is no UTF-8 text ({exc.reason} at byte {exc.start})", "UTF-8",
            "save it again as UTF-8",
        ) from exc  # fmt: skip


def lines_of(path: Path) -> list[str]:
    """Read the lines of a text; what else Unicode calls the end of one may stand in a caption.

    Raises: as ``read_text``.
    """
    return read_text(path).split("\n")


def csv_rows(path: Path) -> Iterator[list[str]]:
    """Read the columns of each line. Raises: as ``read_text``.

    A quotation mark that nobody closes is part of its line, and swallows none that follow.
    """
    for line in lines_of(path):
        try:
            (row,) = csv.reader([line], strict=True) if line.strip() else ([],)
        except csv.Error:
            row = line.split(",", 1)
        yield row
