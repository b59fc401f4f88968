"""The run's own copy of the rows that it logs to Weights & Biases.

W&B holds rows in memory for some seconds, and a kill takes them along. A checkpoint may stand
behind rows that are lost that way: from here they are handed in again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROWS_FILE = "wandb_rows.jsonl"


class Row(NamedTuple):
    """One call of ``log``: its number in the run, the step it belongs to, the values."""

    number: int
    step: int
    values: dict[str, float]


class Rows:
    """A file of rows, one a line, that grows when it is flushed."""

    def __init__(self, logs: Path, count: int) -> None:
        """Keep the first ``count`` rows of what is there; what comes behind is done again."""
        self._path = logs / ROWS_FILE
        self._waiting: list[str] = []
        _cut(self._path, count)

    def add(self, row: Row) -> None:
        """Take a row; it is on disk after the next ``flush``."""
        self._waiting.append(json.dumps(row) + "\n")

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(self._waiting)
            self._waiting.clear()

    def read(self, first: int) -> Iterator[Row]:
        """Yield what was flushed, from row ``first`` on."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            for line in file:
                row = _row(line)
                if row is not None and row.number >= first:
                    yield row


def _row(line: bytes) -> Row | None:
    """Read a line; None where a kill cut it short."""
    try:
        number, step, values = json.loads(line)
    except ValueError:
        return None
    return Row(number, step, values)


def _cut(path: Path, count: int) -> None:
    """Cut a file of rows where row ``count`` begins, or where a line is not whole."""
    if not path.exists():
        return
    kept = 0
    with path.open("rb+") as file:
        for line in file:
            row = _row(line) if line.endswith(b"\n") else None
            if row is None or row.number >= count:
                break
            kept += len(line)
        file.truncate(kept)
