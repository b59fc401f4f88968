"""``ckptkit.Run``: what a training script holds, so that it may be stopped anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ckptkit.errors import MismatchError
from ckptkit.run.best import restore_lost
from ckptkit.run.counting import StepCounter
from ckptkit.run.decide import Decision
from ckptkit.run.experiment import Experiment
from ckptkit.run.holding import decide_and_hold
from ckptkit.run.json_file import write_json
from ckptkit.run.keeper import Keeper, RunStop, best_of
from ckptkit.run.leaving import Leaving
from ckptkit.run.logged import Logged
from ckptkit.run.loop import Loop
from ckptkit.run.moved import Moved
from ckptkit.run.options import RunOptions
from ckptkit.run.probe import compare_probe
from ckptkit.run.ranks import Ranks
from ckptkit.run.recipe import recipe_of
from ckptkit.run.resuming import best_from, fill, history_from, other_metric, read_stored
from ckptkit.run.saver import Saver
from ckptkit.run.sections import check_names
from ckptkit.run.settings import as_settings, for_people, policies_of
from ckptkit.run.stop import StopWatcher
from ckptkit.run.tell import ask_on_terminal, quiet, say_at_once, settings_table
from ckptkit.run.together import decide_together
from ckptkit.run.trackers import Trackers
from ckptkit.storage.leftovers import clean_leftovers
from ckptkit.storage.lock import FolderLock


class Run:
    """A training run in a folder: entered with ``with``, looped over, stopped and gone on with.

    Raises when entered: what ``decide`` and ``ckptkit.restore`` raise; LockedError while another
    process trains in the same folder; what ``ckptkit.save`` raises of a state that is no data.
    """

    def __init__(
        self, folder: str | os.PathLike[str], state: Mapping[str, Any], **options: Any
    ) -> None:
        """``folder`` holds this run and its successors; ``state`` is what ``ckptkit.save`` takes.

        ``options`` are the fields of ``RunOptions``.
        """
        check_names(state)
        self._root, self.state = Path(folder), state
        self.options = RunOptions(**options)
        self.tell = self.options.tell
        self.stopped = ""  # why it was left early, if it was

    # -- entering and leaving ---------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._inside:
            raise MismatchError("Run", "is entered already", "one with block at a time")
        self._ranks = Ranks()
        if not self._ranks.writes:
            self.tell = quiet
        self._lock, decision, self.stopped = None, None, ""
        self._trackers = self._counter = None  # those of an earlier time are closed
        try:
            decision = decide_together(self._ranks, self._decide)
            self.experiment: Experiment = decision.experiment
            self._set_up(decision)
        except BaseException:
            self._let_go()
            if decision is not None and decision.new and self._ranks.writes:
                decision.experiment.remove_empty()
            raise
        self._inside = True
        self._watcher.listen()
        return self

    def _decide(self) -> Decision:
        ask, now = self.options.ask or ask_on_terminal(), datetime.now().astimezone()
        decision, self._lock = decide_and_hold(self._root, self.options.resume, now, ask)
        return decision

    _lock: FolderLock | None = None
    _counter: StepCounter | None = None
    _trackers: Trackers | None = None
    _inside = False

    def _let_go(self) -> None:
        """Leave the optimizers, the trackers and the folder to others."""
        self._inside = False
        with ExitStack() as last_first:  # each of them, whatever another one raises
            if self._lock is not None:
                last_first.callback(self._lock.release)
            if hasattr(self, "_saver"):
                last_first.callback(self._saver.end)
            if self._trackers is not None:
                last_first.callback(self._trackers.close)
            if self._counter is not None:
                last_first.callback(self._counter.detach)

    def _set_up(self, decision: Decision) -> None:
        options = self.options
        recipe = recipe_of(self.state, options)
        if self._ranks.writes:
            self.experiment.complete()
            clean_leftovers(self.experiment.checkpoints)
        self._saver = Saver(self.experiment, recipe, self._ranks, self.tell)
        self._saver.best = best_of(options.save)
        say = say_at_once(self.tell)
        self._watcher = StopWatcher(max_time_s=options.max_time_s, say=say)
        self._counter = counter = StepCounter(self.state, self._saver.before_step, self.tell)
        self._keeper = Keeper(self._saver, options.save, self._watcher, self._ranks, self.tell)
        self._keeper.row_steps = options.row_steps
        self._loop = Loop(
            counter, self._keeper, seed=options.seed,
            generators=options.generators, moved=Moved(self.state),
        )  # fmt: skip
        self._logged = Logged(self._loop, self._keeper, self._saver, self.tell)
        if decision.note:
            self.tell(decision.note)
        for one in decision.skipped:
            self.tell(f"skipped {one.path.name}: {one.reason}")
        if decision.checkpoint is None:
            self._loop.start()
            if options.self_test:
                self.tell("self-test: a new run has nothing to compare with yet")
        else:
            self._go_on(decision.checkpoint, **recipe.config)
        self._keeper.begin_at(self._loop.mark)
        if self._ranks.writes:
            self._trackers = self._logged.trackers = Trackers(options.trackers, self.tell)
            self._trackers.open(self.experiment.logs, self._saver.trackers, self._loop.mark)
            self._saver.trackers_at = self._trackers.state_at
            write_json(self.experiment.config_file, for_people(recipe.config["settings"]))

    def _go_on(self, path: Path, settings: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
        options = self.options
        stored = read_stored(path, self._ranks.rank, self._ranks.world)
        policies = {**policies_of(options.config), **options.policies}
        given = {"trainer": options.trainer, **options.restore}
        resumed = fill(
            path, stored, self.state, settings=settings, asked=asked, policies=policies,
            force=options.force, options=given,
        )  # fmt: skip
        self.report = resumed.report
        self._loop.resume(stored.mark)
        self._saver.history, notes = history_from(stored, path)
        self._saver.n_written = len(self._saver.history)
        self._saver.best = best_from(self._saver.best, stored)
        notes.append(other_metric(self._saver.best, stored))
        self._saver.latest_metrics = dict(stored.metrics.get("latest") or {})
        self._saver.trackers = dict(stored.trackers)
        if path.parent == self.experiment.checkpoints:
            self._saver.last = path
            self._saver.line_best = self._saver.best
        self.tell(f"resumed from {path}: epoch {stored.mark.epochs}, step {stored.mark.steps}")
        if self._ranks.writes and stored.ours:
            notes.append(restore_lost(self.experiment.checkpoints, self._saver.line_best))
        for text in (settings_table(resumed.changes), str(resumed.report), *resumed.notes, *notes):
            if text:
                self.tell(text)
        if options.self_test and options.probe is not None:
            self.tell(compare_probe(options.probe, stored.probe))

    report: Any = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:  # fmt: skip
        size = as_settings(self.options.config).get("batch_size")
        parts = Leaving(self._loop, self._keeper, self._saver, self._watcher, self.tell, size)
        try:
            if error is not None:
                return self._leave(parts, error)
            try:
                self._finish(parts)
            except BaseException as late:
                if not self._leave(parts, late):
                    raise
            return False
        finally:
            self._saver.settle()
            self._watcher.unlisten()  # not before: a signal must not end a save
            self._let_go()

    def _finish(self, parts: Leaving) -> None:
        try:
            parts.finish()
        finally:
            self._logged.close()

    def _leave(self, parts: Leaving, error: BaseException) -> bool:
        if isinstance(error, RunStop):
            self.stopped = error.reason.word
        return parts.leave(error)

    # -- the loops --------------------------------------------------------------------------------

    def epochs(self, target: int) -> Iterator[int]:
        """Yield the epochs that are left of ``target``, counted from 0 as ``range`` does."""
        self._require_inside("epochs()")
        if nothing := self._loop.reached(target, "epochs"):
            self.tell(nothing)
        self._logged.begin_loop()
        return self._loop.breaks.track(self._loop.epochs(target))

    def batches(self, loader: Any, name: str = "train") -> Iterator[Any]:
        """Yield the batches that are left of this epoch, in the order they always had."""
        self._require_inside("batches()")
        return self._loop.breaks.track(self._loop.batches(loader, name))

    def steps(self, target: int) -> Iterator[int]:
        """Yield the optimizer steps that are left of ``target``: for loops that draw batches."""
        self._require_inside("steps()")
        if nothing := self._loop.reached(target, "steps"):
            self.tell(nothing)
        self._keeper.means, self._keeper.last_step = self._loop.means, target
        self._logged.begin_loop()
        return self._loop.breaks.track(self._loop.steps(target))

    def evaluate(self, loader: Any) -> Iterator[Any]:
        """Yield the batches of an evaluation, which a signal may end; ``log`` inside averages."""
        self._require_inside("evaluate()")
        return self._logged.evaluated(loader)

    def log(
        self, values: Mapping[str, Any] | None = None, /, weight: float = 1.0, **named: Any
    ) -> None:
        """Record metrics: averaged inside batches, taken as they are at the end of an epoch.

        Raises: UnrepresentableError for what is no number, or has a name of the history's own.
        """
        self._require_inside("log()")
        self._logged.take({**(values or {}), **named}, weight)

    def _require_inside(self, what: str) -> None:
        if not self._inside:
            over = hasattr(self, "_loop")
            raise MismatchError(
                what, "the run is over" if over else "the run was not entered",
                "a call inside of its with block", "write: with ckptkit.Run(...) as run:",
            )  # fmt: skip

    def stop(self, why: str = "asked") -> None:
        """End after this step or epoch, with success: early stopping."""
        self._require_inside("stop()")
        self._watcher.ask(why, 0)
        self.stopped = why

    # -- where it stands --------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self._loop.mark.epochs

    @property
    def step(self) -> int:
        """Completed optimizer steps."""
        return self._loop.mark.steps

    @property
    def samples(self) -> int:
        """Samples that were handed out before the batch under way."""
        return self._loop.samples

    @property
    def stepped(self) -> bool:
        """Whether the batch under way has completed an optimizer step."""
        return self._loop.stepped

    @property
    def micro_batch(self) -> int:
        """Batches that were handed out since the last completed step, before this one.

        ``run.micro_batch == n - 1`` is the moment to step when gradients of n are accumulated.
        """
        return self._loop.micro_batch

    @property
    def best(self) -> float | None:
        """The best value so far of the watched metric."""
        return None if self._saver.best is None else self._saver.best.value

    @property
    def history(self) -> dict[str, list[Any]]:
        """The rows so far, as columns."""
        return self._saver.history.columns()

    @property
    def folder(self) -> Path:
        """This run's own folder."""
        return self.experiment.folder
