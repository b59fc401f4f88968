"""The loops of a run: epochs, batches and steps from where it stands, and the save points in them.

A save point is the moment at which a loop is asked for its next item: the body is over, so the
weights, the scheduler, an average and whatever else the body touches belong together.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ckptkit.run.breaks import Left
from ckptkit.run.feeds import Feed, has_more
from ckptkit.run.mark import Mark
from ckptkit.run.marking import Marking

_PATIENCE = 32  # bodies without a step that a stop waits for, where no accumulation was seen


class Loop(Marking):
    """Counts, and hands out what comes next."""

    # -- the loops --------------------------------------------------------------------------------

    def epochs(self, target: int) -> Generator[int]:
        """Yield the number of every epoch that is left of ``target``, counted from 0."""
        self.settle_break()
        if self.mark.epochs >= target:
            self._nothing_left(exact=self.mark.epochs == target, by_steps=False)
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
            self._take(weights=True, epochs=done, epoch_open=False)
            self._listener.at_epoch(self.mark, target)
        self._listener.at_target(self.mark, by_steps=self._cut)

    def _begin_epoch(self) -> None:
        self._feeds.begin_epoch()
        self._listener.at_begin()
        self.breaks.inside, self.breaks.failed = None, False
        if not self.mark.epoch_open:
            self._streams()
            self.means.clear()
            self.mark = self.mark.opened()

    def batches(self, loader: Any, name: str) -> Generator[Any]:
        """Yield the batches that are left of this epoch, each followed by a save point."""
        self.breaks.inside, self.breaks.failed = None, False
        try:
            yield from self._batches(loader, name)
        except GeneratorExit:
            raise
        except BaseException:  # a script that catches it and begins its loops again goes on here
            self.breaks.inside, self.breaks.failed = self.mark, True
            raise

    def _batches(self, loader: Any, name: str) -> Generator[Any]:
        feed = self._feeds.begin(loader, name, self.mark.epochs)
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
                    yield from self._body(batch, name)
                except GeneratorExit:  # the script breaks off: this one was handed out as well
                    self._leave_batches(feed, before)
                    raise
                self._after(feed.handed_out() - before, name)
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
            self._nothing_left(exact=self.mark.steps == target, by_steps=True)
            return
        while self.mark.steps < target and not self._listener.ended:
            self._streams()
            try:
                yield from self._body(self.mark.steps)
            except GeneratorExit:
                self._keep(self._here() if self.stepped else self.mark, target, whole=False)
                raise
            self._after(0)
        self._note(weights=True)  # what comes behind the loop may move some
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
        if inside is not None and (self.breaks.failed or not self.breaks.usual):
            self._keep(inside, target, whole=False)
        elif self._feeds.any_used or self._counter.moved:
            with suppress(RuntimeError):
                here = self._here(epochs=self.mark.epochs + 1, epoch_open=False)
                self._keep(here, target, whole=True)
        else:
            self._keep(self.mark, target, whole=False)  # nothing was done in it

    def _keep(self, mark: Mark, target: int, *, whole: bool) -> None:
        if self._counter.torn:
            return
        noted = self.breaks.late and not self._counter.moved  # at the end of the data, or before
        moved = self._moved if noted else self._moved.again()
        self.breaks.left = Left(mark, moved, whole, target)

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
            self.mark = left.mark
            self._note()
        self._stand()
        if left.whole:
            self._listener.at_epoch(self.mark, left.target)
        else:
            self._listener.at_step(self.mark)  # the body that was left did not come to its own
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

    def _body(self, item: Any, name: str = "") -> Iterator[Any]:
        self._of_body.add(name)
        self.in_body = True
        self._counter.follow()
        try:
            yield item
        finally:
            self.in_body = False

    def _after(self, samples: int, name: str = "") -> None:
        self._samples += samples
        if name in self._of_body:  # else it has ended with the loop beside this one, as in a zip
            self._of_body.clear()
            self.micro_batch += 1
            if not self._counter.has_any:
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

    def reached(self, target: int, unit: str) -> str:
        """Say that a loop of "epochs" or "steps" has nothing left to do; "" where it has."""
        done = self.mark.epochs if unit == "epochs" else self.mark.steps
        if done < target:
            return ""
        inside = f", and it stands inside epoch {self.mark.epochs + 1}"
        stands = inside if unit == "epochs" and self.mark.epoch_open else ""
        return f"{done} of {target} {unit} are complete{stands}: nothing to do"

    def _nothing_left(self, *, exact: bool, by_steps: bool) -> None:
        """Put the streams back all the same: what comes behind the loop may draw from them.

        Where the mark lies behind the end of this loop a later one goes on from it, and puts them
        back again: what the script draws in between is not part of what that one goes on with.
        """
        exact = exact and not self.mark.epoch_open
        self._streams(keep=not exact)
        if exact:
            self._listener.at_reached(self.mark, by_steps=by_steps)
