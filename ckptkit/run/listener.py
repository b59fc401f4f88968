"""Who is told of the save points of a loop, and what of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ckptkit.run.mark import Mark

if TYPE_CHECKING:
    from ckptkit.run.loop import Loop


class Listener(Protocol):
    """Who is told of save points. Each call may save, and may leave by an exception."""

    def at_begin(self) -> None:
        """An epoch begins, or goes on where it was stopped."""

    def at_mark(self, mark: Mark) -> None:
        """The mark is put here; the other processes do not know of it yet."""

    def at_row(self, place: Mark) -> None:
        """A step was completed; what takes means away does it now, before the mark is put."""

    def at_step(self, mark: Mark) -> None:
        """An optimizer step was completed, and the body around it."""

    def at_epoch(self, mark: Mark, target: int) -> None:
        """An epoch was completed."""

    def at_rest(self, mark: Mark) -> bool:
        """A body is over, but no step was completed. Says whether somebody waits for one."""

    def in_between(self, loop: Loop) -> None:
        """No body is under way: what the last one completed is all there is."""

    def at_odds(self, text: str) -> None:
        """A resume inside an epoch finds other loops or other data than the epoch began with."""

    def at_lost(self, why: str) -> None:
        """A loop was left by break, and what it completed cannot be saved any more."""

    def at_streams(self, left: list[str]) -> None:
        """Some random streams of a resume could not be put back: which, in words."""

    def at_reached(self, mark: Mark, *, by_steps: bool) -> None:
        """The target was reached before, by an earlier process."""

    def at_target(self, mark: Mark, *, by_steps: bool) -> None:
        """The last epoch or step is behind us."""

    @property
    def ended(self) -> bool:
        """Whether the loops should end here, although the target is not reached."""
