"""A bar of an epoch's progress, for whoever sits at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from ckptkit_trainers.engine.telling import told

Item = TypeVar("Item")


def watched(items: Iterable[Item], total: int, title: str, *, shown: bool) -> Iterator[Item]:
    """Yield the items; draw how many of ``total`` have been asked for, if ``shown``.

    Raises: what a worker tells.
    """
    items = told(items)
    if not shown or not sys.stderr.isatty():
        yield from items
        return
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        for item in items:
            yield item
            progress.advance(task)
