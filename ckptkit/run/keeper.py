"""What happens at the save points: rows, the best so far, periodic saves, and stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from ckptkit.run.history import Event
from ckptkit.run.loop import Loop
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Best, Means
from ckptkit.run.names import FINAL, INTERRUPTED, epoch_name, step_name
from ckptkit.run.policy import SavedAt, SavePolicy, why_save_epoch, why_save_step
from ckptkit.run.ranks import Ranks
from ckptkit.run.saver import Saver
from ckptkit.run.stop import StopReason, StopWatcher
from ckptkit.run.tell import GO_ON, Tell


class RunStop(BaseException):
    """Leaves the loops of a run whose state is saved; only ``Run`` catches it."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Keeper:
    """Listens to the loop: decides by the policy, and has the saver do it."""

    def __init__(
        self, saver: Saver, policy: SavePolicy, watcher: StopWatcher, ranks: Ranks, tell: Tell
    ) -> None:
        self._saver, self._policy, self._watcher, self._tell = saver, policy, watcher, tell
        self._ranks = ranks
        self._saved = SavedAt(0, 0, time.monotonic())
        self._improved = False  # the watched metric, since the last save
        self.epoch_values: dict[str, float] = {}  # logged outside of the batches
        self.ended = False  # the script asked to end here
        self.obeyed: StopReason | None = None  # why it was told to stop, and has saved
        self.means: Means | None = None  # set where steps, not epochs, make the rows
        self.row_steps = 100
        self.last_step: float = math.inf  # of such a loop

    def begin_at(self, mark: Mark) -> None:
        """Stand at a mark that is on disk, or at the beginning."""
        self._saved = SavedAt(mark.epochs, mark.steps, time.monotonic())
        self._row_at = mark.steps
        self._ranks.agree(0)  # each has kept where it stands: now one may be killed

    _row_at = 0

    # -- what the loop tells ----------------------------------------------------------------------

    def at_begin(self) -> None:
        """What was logged before is of no epoch: a resume logs it once more, elsewhere."""
        self.epoch_values = {}

    def at_mark(self, mark: Mark) -> None:
        """Keep what no other process knows, before anything is agreed upon."""
        if self._saver.kept is not None:
            self._saver.kept.note(mark)

    def at_row(self, place: Mark) -> None:
        """In a loop of steps: record the means, if it is time."""
        if self.means is not None:
            self._step_row(place, close=self._row_at < self.last_step <= place.steps)

    def at_step(self, mark: Mark) -> None:
        """Save if it is time; stop if somebody asked."""
        self._saver.look()
        why = why_save_step(self._policy, mark.steps, time.monotonic(), self._saved)
        if self._improved and self.means is not None:
            why = why or "the best so far"
        if self._saver.owes:
            why = why or "the save before was given up"
        self._save_or_stop(step_name(mark.steps), mark, save=bool(why))

    def at_rest(self, mark: Mark) -> bool:  # noqa: ARG002  the mark is an older step's
        """A body without a step: only the clock is looked at. Several processes stop at a step."""
        return self._watcher.save_point() is not None and self._ranks.world == 1

    def at_epoch(self, mark: Mark, target: int) -> None:
        """Close the row, save if it is time, stop if somebody asked."""
        self._row(mark)
        why = why_save_epoch(self._policy, mark.epochs, target, self._saved)
        self._save_or_stop(epoch_name(mark.epochs), mark, save=bool(why) or self._improved)

    def at_target(self, mark: Mark, *, by_steps: bool) -> None:
        """The target is reached: what is not saved yet is, by the policy; so is what is owed."""
        if self.means is not None:
            self._step_row(mark, close=True)
        best = self._saver.best
        if best is not None and best.value is None:
            logged = ", ".join(sorted(self._saver.latest_metrics)) or "nothing"
            self._tell(
                f"{best.name} was never logged as a number, so nothing is best; logged: {logged}"
            )
        self._saver.join()  # no save in flight may make this one be left out
        due = self._saver.owes or (self._policy.final and not self.has_saved(mark))
        if self._ranks.agree(int(due))[0]:
            self._save(step_name(mark.steps) if by_steps else epoch_name(mark.epochs), mark)
        if self._policy.final:
            self._saver.name_last(FINAL)

    def at_reached(self, mark: Mark, *, by_steps: bool) -> None:
        """Its process may have died between the last save and the final name."""
        if not self._saver.has(FINAL):
            self.at_target(mark, by_steps=by_steps)

    def at_lost(self, why: str) -> None:
        """Tell; the newest checkpoint is what there is."""
        self._saver.join()
        self._tell(f"{why}, so nothing is saved of it; {self._saver.newest}")

    def at_streams(self, left: list[str]) -> None:
        """Tell: what is drawn there is not what the run would have drawn."""
        self._tell(f"random streams that do not go on: {'; '.join(left)}")

    def at_odds(self, text: str) -> None:
        """Tell; the script may have its reasons."""
        self._tell(text)

    def in_between(self, loop: Loop) -> None:
        """A batch of an evaluation is over: the step before it is saved, if it still can be."""
        reason = self._watcher.save_point()
        # Of several processes each may evaluate something else: they stop at the next step.
        if reason is None or not reason.exit_code or self._ranks.world > 1 or loop.torn:
            return
        loop.put_back()
        self._interrupt(loop.mark, reason)

    def has_saved(self, mark: Mark) -> bool:
        """Whether nothing has happened since the last regular save, which was not given up."""
        at_mark = (self._saved.epochs, self._saved.steps) == (mark.epochs, mark.steps)
        return at_mark and not self._saver.owes

    # -- rows and the best ------------------------------------------------------------------------

    def _row(self, mark: Mark) -> None:
        values = {**mark.means_values(), **self.epoch_values}
        self.epoch_values = {}
        self._record(mark, values)

    def _step_row(self, mark: Mark, *, close: bool = False) -> None:
        """In a loop of steps a row is a window of them, or the moment of the watched metric."""
        assert self.means is not None
        values = self.means.values()
        full = mark.steps // self.row_steps > self._row_at // self.row_steps
        if values and (full or close or self._policy.best in values):
            self._row_at = mark.steps
            self.means.clear()
            self._record(mark, values)

    def _record(self, mark: Mark, values: Mapping[str, float]) -> None:
        saver = self._saver
        saver.latest_metrics.update(values)
        if values:
            saver.history.add(mark.epochs, mark.steps, values)
        watched = values.get(self._policy.best) if self._policy.best else None
        if saver.best is not None and watched is not None and saver.best.beaten_by(watched):
            saver.best = saver.best.updated(watched, epoch=mark.epochs, step=mark.steps)
            saver.history.events.append(Event("best", mark.epochs, mark.steps, time.time()))
            self._improved = True

    # -- saving and stopping ----------------------------------------------------------------------

    def _save(self, name: str, mark: Mark) -> None:
        if not self._saver.regular(name, mark, is_best=self._improved):
            return
        self._improved = False
        self._saved = SavedAt(mark.epochs, mark.steps, time.monotonic())

    def _save_or_stop(self, name: str, mark: Mark, *, save: bool) -> None:
        """Save, then stop, where any process of this training has a reason to."""
        reason = self._watcher.save_point()
        own = 0 if reason is None else reason.exit_code + 1
        wanted, stop = self._ranks.agree(int(save and self._ranks.writes), own)
        if stop == 1:
            self.ended = True
            self._saver.join()  # no save in flight may make this one be left out
            # now: what the script does next belongs to no epoch
            wanted = wanted or (self.means is None and self._policy.final)
        if wanted:
            self._save(name, mark)
        if stop > 1:
            other = StopReason("another process was told to stop", stop - 1)
            self._interrupt(mark, reason if reason is not None and own == stop else other)

    def _interrupt(self, mark: Mark, reason: StopReason) -> None:
        event = Event("interrupted", mark.epochs, mark.steps, time.time(), reason.word)
        self._saver.history.events.append(event)
        self._saver.emergency(INTERRUPTED, mark)
        self._tell(
            f"{reason.word}: saved {INTERRUPTED} at epoch {mark.epochs}, step {mark.steps}; {GO_ON}"
        )
        self.obeyed = reason
        raise RunStop(reason)


def best_of(policy: SavePolicy) -> Best | None:
    """The best so far of a policy that watches a metric: none yet."""
    return Best(policy.best, policy.mode) if policy.best else None
