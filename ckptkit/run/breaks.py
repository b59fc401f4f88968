"""Loops that a script leaves by ``break``: what they completed is kept until it is known why.

A generator cannot tell a break from an exception. So what is kept here counts only where the
script goes on in peace: with another loop, or out of the run.
"""

from __future__ import annotations

import weakref
from collections.abc import Generator
from typing import Any, NamedTuple

from ckptkit.run.mark import Mark
from ckptkit.run.moved import Moved


class Left(NamedTuple):
    """Where a loop was left. ``whole``: its epoch is complete; ``moved``: of that moment."""

    mark: Mark
    moved: Moved
    whole: bool
    target: int


class Breaks:
    """The loops that are open, and the one that was left last."""

    def __init__(self) -> None:
        self._open: list[weakref.ref[Generator[Any]]] = []
        self.inside: Mark | None = None  # an epoch's data were left here, and there are more
        self.failed = False  # not by the script: what hands the data out, or a save, raised
        self.usual = False  # the epoch before was left so and counted: it is the script's way
        self.left: Left | None = None
        self.late = False  # a loop shows only now that it was left: since when, nobody knows

    def track(self, loop: Generator[Any]) -> Generator[Any]:
        """Remember a loop, but let it go as soon as the script does: that is how a break shows."""
        self._open = [one for one in self._open if one() is not None] + [weakref.ref(loop)]
        return loop

    def close(self) -> None:
        """Close the loops that the script has left but holds on to, as under a progress bar."""
        self.late = True
        for one in reversed(self._open):
            loop = one()
            if loop is not None and not loop.gi_running:
                loop.close()
        self.late = False
