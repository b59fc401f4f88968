"""A progress bar for work that lasts over a second, on stderr, only where a person watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PATIENCE_S = 1.0


class Meter:
    """Counts work; ``advance(n)`` is cheap, and draws nothing in the first second."""

    def __init__(self, title: str, total: int | None, unit: str) -> None:
        """``unit`` is "bytes" or a plural such as "files"; ``total`` None is unknown."""
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._started = time.monotonic()
        self._shown = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None

    def advance(self, amount: int = 1) -> None:
        """Say that this much more is done."""
        self._done += amount
        if not self._shown:
            return
        if self._bar is None:
            if time.monotonic() - self._started < _PATIENCE_S:
                return
            self._start()
        self._bar.update(self._task, completed=self._done)

    def rename(self, title: str) -> None:
        """Say what is being done now."""
        self._title = title
        if self._bar is not None:
            self._bar.update(self._task, description=title)

    def restart(self, title: str, total: int | None) -> None:
        """Begin another round of work in the same place."""
        self._title, self._total, self._done = title, total, 0
        if self._bar is not None:
            self._bar.reset(self._task, description=title, total=total)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        amount = DownloadColumn() if self._unit == "bytes" else MofNCompleteColumn()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), amount,
            TimeRemainingColumn(), console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(self._title, total=self._total)
        self._bar.start()


@contextmanager
def meter(title: str, total: int | None = None, unit: str = "bytes") -> Iterator[Meter]:
    """Show how far the work is; the bar is gone afterwards, whatever happened."""
    shown = Meter(title, total, unit)
    try:
        yield shown
    finally:
        shown.close()
