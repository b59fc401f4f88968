"""What a migrator is: a pure function from one version of the document to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ckptkit.nodes import MapNode
from ckptkit.protocols import Move


class Stepped(NamedTuple):
    """A new document, and where every subtree of the old one is in it."""

    document: MapNode
    moves: tuple[Move, ...]


class Migrator(NamedTuple):
    """A step of the chain. ``title`` is the first line of its docstring."""

    start: int
    stop: int
    name: str
    title: str
    run: Callable[[MapNode], Stepped]


def step(start: int, stop: int) -> Callable[[Callable[[MapNode], Stepped]], Migrator]:
    """Make a function the migrator from version ``start`` to version ``stop``.

    It takes a MapNode and changes nothing in it; once released, its file never changes again.
    """

    def register(run: Callable[[MapNode], Stepped]) -> Migrator:
        title = (run.__doc__ or "").strip().partition("\n")[0].replace("``", "'")
        return Migrator(start, stop, run.__name__, title, run)

    return register
