"""The loops of a run: epochs, batches and steps from where it stands, and the save points in them.

A save point is the moment at which a loop is asked for its next item: the body is over, so the
weights, the scheduler, an average and whatever else the body touches belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from dataclasses import replace
from typing import Any, Protocol

from ckptkit.run.counting import StepCounter
from ckptkit.run.feeds import Feed, feed_of
from ckptkit.run.loaders import Place
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Means
from ckptkit.run.moved import Moved
from ckptkit.run.rng import put_back, take_mark


class Listener(Protocol):
    """Who is told of save points. Each call may save, and may leave by an exception."""

    def at_row(self, place: Mark) -> None:
        """A step was completed; what takes means away does it now, before the mark is put."""

    def at_step(self, mark: Mark) -> None:
        """An optimizer step was completed, and the body around it."""

    def at_epoch(self, mark: Mark, target: int) -> None:
        """An epoch was completed."""

    def at_rest(self, mark: Mark) -> None:
        """A body is over, but no step was completed: gradients may be in flight."""

    def at_target(self, mark: Mark, *, by_steps: bool) -> None:
        """The last epoch or step is behind us."""

    @property
    def ended(self) -> bool:
        """Whether the loops should end here, although the target is not reached."""


class Loop:
    """Counts, and hands out what comes next. ``mark`` is the last completed step."""

    def __init__(
        self, counter: StepCounter, listener: Listener, *, seed: int, counts_bodies: bool,
        generators: Mapping[str, Any], moved: Moved,
    ) -> None:  # fmt: skip
        self._counter, self._listener, self._seed = counter, listener, seed
        self._moved = moved
        self._counts_bodies = counts_bodies  # no optimizer to count: every body is a step
        self._generators = generators
        self._feeds: dict[str, tuple[Any, Feed]] = {}
        self._pending: Mark | None = None  # a resume whose streams are not put back yet
        self._claims: dict[str, Any] = {}  # places of that resume that no loader has taken yet
        self._ended: dict[str, Any] = {}  # of loaders that keep their own state: the last epoch's
        self._under_way: list[str] = []  # names of feeds whose batches are being handed out
        self.means = Means()
        self.mark = Mark()
        self.in_body = False

    def resume(self, mark: Mark) -> None:
        """Stand at ``mark``; its random streams are put back when the first item is handed out."""
        self.mark = self._pending = mark
        self._claims = {**mark.places, **mark.loaders} if mark.epoch_open else {}
        self._ended = {**mark.ended} if mark.epoch_open else {**mark.ended, **mark.loaders}
        self._counter.steps = mark.steps
        self._in_flight = mark.micro_batches
        self.means.restore(mark.means)
        self._note()

    def start(self) -> None:
        """Stand at the beginning, with the streams as they are now."""
        self.mark = Mark(rng=take_mark(self._generators))
        self._note()

    # -- the loops --------------------------------------------------------------------------------

    def epochs(self, target: int) -> Iterator[int]:
        """Yield the number of every epoch that is left of ``target``, counted from 0."""
        if self.mark.epochs >= target:
            self._nothing_left()
            return
        while self.mark.epochs < target and not self._listener.ended:
            if not self.mark.epoch_open:
                self._streams()
                self.means.clear()
                ended = {**self.mark.ended, **self.mark.loaders}
                self.mark = replace(
                    self.mark, epoch_open=True, places={}, loaders={}, ended=ended, means={}
                )
            yield self.mark.epochs
            if self._cut:
                break  # the script ended it inside, so it is not complete
            self._claims.clear()
            self._streams()  # an epoch whose batches were all behind it
            done = self.mark.epochs + 1
            self._take(epochs=done, epoch_open=False)
            self._listener.at_epoch(self.mark, target)
        self._listener.at_target(self.mark, by_steps=self._cut)

    def batches(self, loader: Any, name: str) -> Iterator[Any]:
        """Yield the batches that are left of this epoch, each followed by a save point."""
        feed = self._feed(loader, name)
        self._stand(feed, name)
        iterator = iter(feed)
        self._under_way.append(name)
        try:
            while not self._ends(feed):
                if feed.draws:
                    self._streams()
                before = feed.handed_out()
                try:
                    batch = next(iterator)
                except StopIteration:
                    break
                self._streams()
                try:
                    yield from self._body(batch)
                except GeneratorExit:  # the script breaks off: this one was handed out as well
                    self._samples += feed.handed_out() - before
                    raise
                self._after(feed.handed_out() - before)
            self._streams()
            if self.mark.micro_batches or self._in_flight:
                self._take()  # the end of the data is a save point, whatever waits in gradients
            self._note(weights=True)  # what comes until the epoch's end may move some
        finally:
            self._under_way.remove(name)

    def steps(self, target: int) -> Iterator[int]:
        """Yield the number of every optimizer step that is left of ``target``, counted from 0."""
        if self.mark.steps >= target:
            self._nothing_left()
            return
        while self.mark.steps < target and not self._listener.ended:
            self._streams()
            yield from self._body(self.mark.steps)
            self._after(0)
        self._listener.at_target(self.mark, by_steps=True)

    # -- between the bodies -----------------------------------------------------------------------

    _cut = False  # whether the script ended an epoch before its data

    def _ends(self, feed: Feed) -> bool:
        """Say whether the script wants no more of a feed, which may have some left."""
        if self._listener.ended:
            self._cut = not isinstance(feed, Sized) or len(feed) > 0
        return self._listener.ended

    _in_flight = 0  # batches handed out since the last completed step

    @property
    def stepped(self) -> bool:
        """Whether the body under way has completed an optimizer step."""
        return self._counter.steps > self.mark.steps

    @property
    def steps_now(self) -> int:
        """Completed optimizer steps, that of the body under way included, completed or not."""
        return max(self._counter.steps, self.mark.steps + self.in_body)

    @property
    def micro_batch(self) -> int:
        """How many batches were handed out since the last completed step, before this one."""
        return self._in_flight

    @property
    def samples(self) -> int:
        """Samples that were handed out before the body under way."""
        return self.mark.samples + self._samples

    def _body(self, item: Any) -> Iterator[Any]:
        self.in_body = True
        try:
            yield item
        finally:
            self.in_body = False

    def _after(self, samples: int) -> None:
        self._samples += samples
        self._in_flight += 1
        if self._counts_bodies:
            self._counter.steps += 1
        if self._counter.steps > self.mark.steps:
            self._in_flight = 0
            self._listener.at_row(replace(self.mark, steps=self._counter.steps))
            self._take()
            self._listener.at_step(self.mark)
        else:
            self._listener.at_rest(self.mark)

    _samples = 0  # handed out since the mark was taken

    def _take(self, **changes: Any) -> None:
        """Put the mark here."""
        states = {name: self._feeds[name][1].state() for name in self._feeds_of_epoch()}
        places = {name: s for name, s in states.items() if isinstance(s, Place)}
        loaders = {name: s for name, s in states.items() if not isinstance(s, Place)}
        self.mark = replace(
            self.mark,
            steps=self._counter.steps,
            samples=self.mark.samples + self._samples,
            micro_batches=self._in_flight,
            places=places,
            loaders=loaders,
            means=self.means.state(),
            rng=take_mark(self._generators),
            **changes,
        )
        self._samples = 0
        self._note()

    def _note(self, *, weights: bool = False) -> None:
        """Note what is live at the mark."""
        self._counter.moved = False
        waiting = self.mark.micro_batches > 0
        self._moved.note(weights=weights or waiting or self._counts_bodies, gradients=waiting)

    @property
    def torn(self) -> str:
        """Why the live objects are not those of the mark, even if ``put_back``; "" if they are."""
        if self._counter.torn:
            return "the optimizer failed inside its step"
        if self._counter.moved:
            return "the optimizer has stepped, but its loop's body was not completed"
        return "weights have changed since the last completed step" if self._moved.weights else ""

    def put_back(self) -> None:
        """Let schedules, counters and other small things be as they were at the mark."""
        self._moved.put_back()

    def _feeds_of_epoch(self) -> list[str]:
        """Names whose place counts: those under way, and those that this epoch had before."""
        known = {*self._under_way, *self.mark.places, *self.mark.loaders}
        return [name for name in self._feeds if name in known]

    def _feed(self, loader: Any, name: str) -> Feed:
        known = self._feeds.get(name)
        if known is None or known[0] is not loader:
            self._feeds[name] = known = (loader, feed_of(loader, self._seed))
        return known[1]

    def _stand(self, feed: Feed, name: str) -> None:
        """Bring a feed to where a resume says that it was, or to the epoch's beginning."""
        ended = self._ended.pop(name, None)
        stored = self._claims.pop(name, ended)
        feed.begin(Place(self._seed, self.mark.epochs, 0))
        if stored is not None:
            feed.go_to(stored)

    def _nothing_left(self) -> None:
        """Put the streams back all the same: what comes behind the loop may draw from them."""
        self._claims.clear()
        self._streams()

    def _streams(self) -> None:
        """Put the random streams of a resume back, once, as its last act.

        Where several loaders take turns in an epoch, the last one that was begun is the place.
        """
        if self._claims:
            return
        pending, self._pending = self._pending, None
        if pending is not None and pending.rng is not None:
            put_back(pending.rng, self._generators)
