"""The loops of a run: epochs, batches and steps from where it stands, and the save points in them.

A save point is the moment at which a loop is asked for its next item: the body is over, so the
weights, the scheduler, an average and whatever else the body touches belong together.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ckptkit.run.breaks import Breaks, Left
from ckptkit.run.counting import StepCounter
from ckptkit.run.feeds import Feed, has_more
from ckptkit.run.listener import Listener
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Means
from ckptkit.run.moved import Moved
from ckptkit.run.rng import put_back, take_mark
from ckptkit.run.standing import Feeds

_PATIENCE = 32  # bodies without a step that a stop waits for, where no accumulation was seen


class Loop:
    """Counts, and hands out what comes next. ``mark`` is the last completed step."""

    def __init__(
        self, counter: StepCounter, listener: Listener, *, seed: int, counts_bodies: bool,
        generators: Mapping[str, Any], moved: Moved,
    ) -> None:  # fmt: skip
        self._counter, self._listener, self._moved = counter, listener, moved
        self._counts_bodies = counts_bodies  # no optimizer to count: every body is a step
        self._generators = generators
        self._feeds = Feeds(seed)
        self._pending: Mark | None = None  # a resume whose streams are not put back yet
        self.breaks = Breaks()
        self.means = Means()
        self.mark = Mark()
        self.in_body = False

    def resume(self, mark: Mark) -> None:
        """Stand at ``mark``; its random streams are put back when the first item is handed out."""
        self.mark = self._pending = mark
        self._feeds.resume(mark)
        self._counter.steps = mark.steps
        self.micro_batch = mark.micro_batches
        self.means.restore(mark.means)
        self._note()

    def start(self) -> None:
        """Stand at the beginning, with the streams as they are now."""
        self.mark = Mark(rng=take_mark(self._generators))
        self._note()

    # -- the loops --------------------------------------------------------------------------------

    def epochs(self, target: int) -> Generator[int]:
        """Yield the number of every epoch that is left of ``target``, counted from 0."""
        self.settle_break()
        if self.mark.epochs >= target:
            self._nothing_left(reached=self.mark.epochs == target, by_steps=False)
            return
        while self.mark.epochs < target and not self._listener.ended:
            self._begin_epoch()
            try:
                yield self.mark.epochs
            except GeneratorExit:
                self._leave_epoch(target)
                raise
            finally:
                self._feeds.end_epoch()
            self.breaks.close()
            self.breaks.usual = self.breaks.inside is not None
            if self._cut:
                break  # the script ended it inside, so it is not complete
            self._feeds.claims.clear()
            self._streams()  # an epoch whose batches were all behind it
            done = self.mark.epochs + 1
            self._take(epochs=done, epoch_open=False)
            self._listener.at_epoch(self.mark, target)
        self._listener.at_target(self.mark, by_steps=self._cut)

    def _begin_epoch(self) -> None:
        self._feeds.begin_epoch()
        self._listener.at_begin()
        self.breaks.inside = None
        if not self.mark.epoch_open:
            self._streams()
            self.means.clear()
            self.mark = self.mark.opened()

    def batches(self, loader: Any, name: str) -> Generator[Any]:
        """Yield the batches that are left of this epoch, each followed by a save point."""
        feed = self._feeds.begin(loader, name, self.mark.epochs)
        self.breaks.inside = None
        try:
            iterator = iter(feed)
            while not self._ends(feed):
                if feed.draws:
                    self._streams()
                before = feed.handed_out()
                try:
                    batch = next(iterator)
                except StopIteration:
                    break
                except Exception:
                    self._listener.in_between(self)  # a signal may have ended its workers
                    raise
                self._streams()
                try:
                    yield from self._body(batch)
                except GeneratorExit:  # the script breaks off: this one was handed out as well
                    self._leave_batches(feed, before)
                    raise
                self._after(feed.handed_out() - before)
            self._streams()
            if self.mark.micro_batches or self.micro_batch:
                self._take()  # the end of the data is a save point, whatever waits in gradients
            self._note(weights=True)  # what comes until the epoch's end may move some
        finally:
            self._feeds.end(name)

    def steps(self, target: int) -> Generator[int]:
        """Yield the number of every optimizer step that is left of ``target``, counted from 0."""
        self.settle_break()
        if self.mark.steps >= target:
            self._nothing_left(reached=self.mark.steps == target, by_steps=True)
            return
        while self.mark.steps < target and not self._listener.ended:
            self._streams()
            try:
                yield from self._body(self.mark.steps)
            except GeneratorExit:
                self._keep(self._here() if self.stepped else self.mark, target, whole=False)
                raise
            self._after(0)
        self._listener.at_target(self.mark, by_steps=True)

    # -- left by break ----------------------------------------------------------------------------

    def _leave_batches(self, feed: Feed, before: int) -> None:
        """A batch was handed out, and the script wants no more: it counts if it was stepped."""
        self._samples += feed.handed_out() - before
        here = self.mark
        if self.stepped:
            self.micro_batch = 0
            with suppress(RuntimeError):  # after a fault of a device its streams cannot be read
                here = self._here()
        self.breaks.inside = here if has_more(feed) else None

    def _leave_epoch(self, target: int) -> None:
        inside = self.breaks.inside
        if inside is not None and not self.breaks.usual:
            self._keep(inside, target, whole=False)
        elif self._feeds.any_used or self._counter.moved:
            with suppress(RuntimeError):
                here = self._here(epochs=self.mark.epochs + 1, epoch_open=False)
                self._keep(here, target, whole=True)
        else:
            self._keep(self.mark, target, whole=False)  # nothing was done in it

    def _keep(self, mark: Mark, target: int, *, whole: bool) -> None:
        if not self._counter.torn:
            self.breaks.left = Left(mark, self._moved.again(), whole, target)

    def settle_break(self, *, last: bool = False) -> None:
        """Take what a broken-off loop has completed as done; ``last``: no loop comes after it."""
        self.breaks.close()
        left, self.breaks.left = self.breaks.left, None
        if left is None:
            return
        if self._counter.torn or left.moved.weights or self._counter.steps != left.mark.steps:
            self._listener.at_lost("weights have changed since the loop was left by break")
            return
        now = self._moved.again()
        if left.mark is self.mark:
            self.put_back()  # an unfinished body may have counted
        else:
            self._samples = 0
            self.mark = left.mark
            self._note()
        self._feeds.resume(self.mark)
        if left.whole:
            self._listener.at_epoch(self.mark, left.target)
        if last:
            self._listener.at_target(self.mark, by_steps=not left.whole)
            now.put_back()

    # -- between the bodies -----------------------------------------------------------------------

    _cut = False  # whether the script ended an epoch before its data

    def _ends(self, feed: Feed) -> bool:
        """Say whether the script wants no more of a feed, which may have some left."""
        if self._listener.ended:
            self._cut = has_more(feed)
        return self._listener.ended

    micro_batch = 0  # batches handed out since the last completed step

    @property
    def stepped(self) -> bool:
        """Whether the body under way has completed an optimizer step."""
        return self._counter.steps > self.mark.steps

    @property
    def steps_now(self) -> int:
        """Completed optimizer steps, that of the body under way included, completed or not."""
        return max(self._counter.steps, self.mark.steps + self.in_body)

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
        self.micro_batch += 1
        if self._counts_bodies:
            self._counter.steps += 1
        if self._counter.steps > self.mark.steps:
            self._longest = max(self._longest, self.micro_batch)
            self.micro_batch = 0
            self._listener.at_row(replace(self.mark, steps=self._counter.steps))
            self._take()
            self._listener.at_step(self.mark)
        elif self._listener.at_rest(self.mark) and self.micro_batch > 2 * self._longest:
            self._take()  # a scaler that skips every step: none will come
            self._listener.at_step(self.mark)

    _longest = _PATIENCE  # bodies to a step, so far
    _samples = 0  # handed out since the mark was taken

    def _take(self, **changes: Any) -> None:
        """Put the mark here."""
        self.mark = self._here(**changes)
        self._samples = 0
        self._note()

    def _here(self, **changes: Any) -> Mark:
        places, loaders = self._feeds.states(self.mark)
        return replace(
            self.mark,
            steps=self._counter.steps,
            samples=self.mark.samples + self._samples,
            micro_batches=self.micro_batch,
            places=places,
            loaders=loaders,
            means=self.means.state(),
            rng=take_mark(self._generators),
            **changes,
        )

    def _note(self, *, weights: bool = False) -> None:
        """Note what is live at the mark."""
        self._counter.moved = False
        waiting = self.mark.micro_batches > 0
        self._moved.note(weights=weights or waiting or self._counts_bodies, gradients=waiting)
        self._listener.at_mark(self.mark)

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

    def _nothing_left(self, *, reached: bool, by_steps: bool) -> None:
        """Put the streams back all the same: what comes behind the loop may draw from them."""
        self._feeds.claims.clear()
        self._streams()
        if reached:
            self._listener.at_reached(self.mark, by_steps=by_steps)

    def _streams(self) -> None:
        """Put the random streams of a resume back, once, as its last act.

        Where several loaders take turns in an epoch, the last one that was begun is the place.
        """
        if self._feeds.claims:
            return
        pending, self._pending = self._pending, None
        if pending is not None and pending.rng is not None:
            put_back(pending.rng, self._generators)
