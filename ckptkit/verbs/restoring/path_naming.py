"""An error about a tensor names the checkpoint, too: a log of many has nothing else to go by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ckptkit.errors import ContainerError


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put ``path`` before the place of every ContainerError that does not begin with it."""
    try:
        yield
    except ContainerError as exc:
        if exc.where.startswith(str(path)):
            raise
        where = f"{path}: {exc.where}"
        raise type(exc)(where, exc.seen, exc.expected, exc.advice) from exc
