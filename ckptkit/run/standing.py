"""The loaders of a run by the names of their loops, each standing where the epoch is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ckptkit.errors import MismatchError
from ckptkit.run.feeds import Feed, feed_of
from ckptkit.run.loaders import Place
from ckptkit.run.mark import Mark
from ckptkit.run.order import mix

FIRST = "train"  # the name of a loop that was given none


class Feeds:
    """Knows the feed of every name; a name is one loop of an epoch, because a place has one name.

    ``claims``: places of a resume that no loop has taken yet.
    """

    def __init__(self, seed: int, tell: Callable[[str], None]) -> None:
        self._seed, self._tell = seed, tell
        self._known: dict[str, tuple[Any, Feed]] = {}
        self._ended: dict[str, Any] = {}  # of loaders that keep their own state: the last epoch's
        self._used: set[str] | None = None  # names of the epoch under way; None outside of any
        self._under_way: list[str] = []  # whose batches are being handed out
        self.claims: dict[str, Any] = {}

    def resume(self, mark: Mark) -> None:
        """Let the loops that come stand where the mark says."""
        self.claims = {**mark.places, **mark.loaders} if mark.epoch_open else {}
        self._ended = {**mark.ended} if mark.epoch_open else {**mark.ended, **mark.loaders}

    def begin_epoch(self) -> None:
        """From now on loops are part of an epoch."""
        self._used = set()

    def end_epoch(self) -> None:
        """No loop is, until the next one begins."""
        self._used = None

    @property
    def any_used(self) -> bool:
        """Whether the epoch under way has begun a loop."""
        return bool(self._used)

    def begin(self, loader: Any, name: str, epoch: int) -> Feed:
        """Return the feed of a loop that begins, at the epoch's beginning or where a resume says.

        Raises: MismatchError outside of an epoch, or for a second loop of one name.
        """
        self._check(name)
        seed = self._seed if name == FIRST else mix(self._seed, *name.encode()) >> 1
        known = self._known.get(name)
        if known is None or known[0] is not loader:
            self._known[name] = known = (loader, feed_of(loader, seed))
        feed = known[1]
        self._tell_of_waiting(name)
        ended = self._ended.pop(name, None)
        stored = self.claims.pop(name, ended)
        feed.begin(Place(seed, epoch, 0))
        if stored is not None:
            feed.go_to(stored)
            if isinstance(stored, Place) and stored.order:  # to ask another one begins it
                self._tell_of_others(name, stored, feed.state())
        self._under_way.append(name)
        return feed

    def _tell_of_waiting(self, name: str) -> None:
        if self.claims and name not in self.claims:
            waiting = ", ".join(map(repr, sorted(self.claims)))
            self._tell(
                f"the epoch goes on inside the loop named {waiting}, but one named {name!r} comes "
                "first and begins at its beginning: has it another name now?"
            )

    def _tell_of_others(self, name: str, then: Place, now: Any) -> None:
        """Data that changed inside an epoch: of what is left, some may be shown twice or never."""
        if isinstance(now, Place) and then[3:] != now[3:]:
            self._tell(
                f"the epoch under way goes on with other data in the loop {name!r}: {now.items} "
                f"items, {now.order}; it began with {then.items}, {then.order}; some may be shown "
                "twice or never"
            )

    def _check(self, name: str) -> None:
        if self._used is None:
            raise MismatchError(
                "batches()", "is not inside an epoch, so its place could not be found again",
                "a loop inside of run.epochs()", "write: for epoch in run.epochs(1):",
            )  # fmt: skip
        if name in self._used:
            raise MismatchError(
                "batches()", f"an epoch has two loops named {name!r}, but a place has one name",
                "a name of its own for each loop",
                "give them names: run.batches(loader, 'unlabelled')",
            )  # fmt: skip
        self._used.add(name)

    def end(self, name: str) -> None:
        """The loop of this name is over."""
        self._under_way.remove(name)

    def states(self, mark: Mark) -> tuple[Mapping[str, Place], Mapping[str, Any]]:
        """Places, and the states of loaders that keep their own, of the loops that count.

        Those under way do, and those that the epoch had before, which ``mark`` knows.
        """
        count = {*self._under_way, *mark.places, *mark.loaders}
        states = {name: self._known[name][1].state() for name in self._known if name in count}
        places = {name: one for name, one in states.items() if isinstance(one, Place)}
        return places, {name: one for name, one in states.items() if name not in places}
