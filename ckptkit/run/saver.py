"""Writing the checkpoints of a run: what goes in, under which name, and what moves afterwards."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ckptkit.errors import TargetExistsError
from ckptkit.run.aliases import point
from ckptkit.run.background import Background
from ckptkit.run.best import follow_line
from ckptkit.run.experiment import Experiment
from ckptkit.run.history import History, history_data, write_history
from ckptkit.run.kept_streams import keep_streams
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Best
from ckptkit.run.names import BEST, LATEST
from ckptkit.run.probe import ProbeFunction, take_probe
from ckptkit.run.prune import prune_run
from ckptkit.run.ranks import Ranks
from ckptkit.run.recipe import Recipe
from ckptkit.run.sections import mark_sections, stored_streams, waiting_gradients
from ckptkit.run.staging import Staging
from ckptkit.run.step_only import StepOnly
from ckptkit.storage.aside import set_aside
from ckptkit.verbs.save import PendingSave, SaveOptions, begin_save
from ckptkit.verbs.saving.report import SaveReport


class Saver:
    """Saves, and then, only then, moves the aliases, writes the history and removes what may go."""

    def __init__(
        self, experiment: Experiment, recipe: Recipe, ranks: Ranks, tell: Callable[[str], None]
    ) -> None:
        self._experiment, self._recipe, self._tell = experiment, recipe, tell
        self._ranks = ranks
        self._behind, self._staging = Background(), Staging()
        self._step_only = StepOnly(recipe.state)
        self._copying = threading.Event()  # set when the newest background save has its copy
        self._copying.set()
        self.owes = False  # a save that was given up or failed: it is due as soon as may be
        self.stalls_s: list[float] = []  # for how long each background save held up the training
        self.last: Path | None = None  # the newest regular checkpoint of this run
        self.history = History()
        self.n_written = 0  # rows of the history that its file has
        self.best: Best | None = None
        self.line_best: Best | None = None  # of a resume, until its first save
        self.latest_metrics: dict[str, float] = {}
        self.trackers: dict[str, Any] = {}  # of the resume; those that are open now go first
        self.kept = keep_streams(experiment.folder, ranks, recipe.state, recipe.generators)
        self.trackers_at: Callable[[Mark], dict[str, Any]] = lambda _: {}

    @property
    def state(self) -> Mapping[str, Any]:
        """The script's own live objects."""
        return self._recipe.state

    def sections(self, mark: Mark, streams: list[Any], *, careful: bool = False) -> dict[str, Any]:
        """Everything that a checkpoint of this moment holds; ``streams`` are those of each rank.

        ``careful``: in an emergency a probe that fails is left out.
        """
        recipe = self._recipe
        metrics: dict[str, Any] = {"latest": dict(self.latest_metrics)}
        if self.best is not None:
            metrics["best"] = self.best.as_tree()
        sections = {
            **recipe.state, **mark_sections(mark, streams), "metrics": metrics,
            "history": self.history.state(), "config": recipe.config,
        }  # fmt: skip
        trackers = {**self.trackers, **self.trackers_at(mark)}
        if trackers:
            sections["trackers"] = trackers
        if recipe.probe is not None:
            sections["probe"] = self._probed(recipe.probe, careful=careful)
        if mark.micro_batches:
            gradients = waiting_gradients(recipe.state)
            if gradients:
                sections["gradients"] = gradients
        return {name: value for name, value in sections.items() if value is not None}

    def _probed(self, probe: ProbeFunction, *, careful: bool) -> dict[str, Any] | None:
        try:
            return take_probe(probe)
        except Exception as exc:  # the script's own code, perhaps out of memory again
            if not careful:
                raise
            self._tell(f"the probe is left out: {type(exc).__name__}: {exc!s:.100}")
            return None

    def regular(self, name: str, mark: Mark, *, is_best: bool) -> bool:
        """Save under a regular name; then move ``latest_checkpoint`` and perhaps ``best_model``.

        In the background only the copy of the state is waited for; of what only an optimizer's
        step writes, by the next step. Returns False where a save is in flight and the policy is to
        skip then. Raises: as ``ckptkit.save``, of the save before.
        """
        streams = self._ranks.gather(stored_streams(mark))
        if not self._ranks.writes:
            return True
        if not self._recipe.background:
            report = self._begin(name, mark, streams).write()
            self._sealed(report, history_data(self.history), is_best=is_best)
            return True
        if self._behind.busy and self._recipe.when_busy == "skip" and not is_best:
            if self._left_out is not self._behind.job:  # each is told of once
                self._tell(f"{name} is left out: the save before it is still being written")
            self._left_out = self._behind.job
            return False
        began = time.monotonic()
        self._behind.join()  # its staging buffer is the one we need
        self.owes = False
        pending = self._begin(name, mark, streams)
        # The best of all is never given up: its copy does not depend on what the script does.
        self._staging.take(pending.document, () if is_best else self._step_only.note())
        rows = history_data(self.history)  # now: the training goes on adding to it
        copying = threading.Event()

        def job() -> None:
            if self._copied(name, copying):
                self._sealed(pending.write(), rows, is_best=is_best)

        self._behind.submit(job)
        self._copying = copying
        self.stalls_s.append(time.monotonic() - began)
        return True

    _left_out: object = None

    def before_step(self) -> None:
        """Wait until what a step writes is copied."""
        if not self._copying.is_set():
            began = time.monotonic()
            self._copying.wait()
            self.stalls_s[-1] += time.monotonic() - began

    def _copied(self, name: str, copying: threading.Event) -> bool:
        """Copy the rest; False where something wrote to it meanwhile, which is told."""
        try:
            self._staging.finish()
            if not self._step_only.written():
                return True
        finally:
            copying.set()
        self.owes = True
        self._tell(
            f"{name} is left out: the state of an optimizer was written to outside of its step() "
            "while it was copied; the next step is saved instead, and every copy is waited for now"
        )
        return False

    def look(self) -> None:
        """Raise what a background save raised. Raises: as ``ckptkit.save``."""
        self._behind.look()

    def join(self) -> None:
        """Wait for a background save. Raises: as ``ckptkit.save``."""
        self._behind.join()

    @property
    def newest(self) -> str:
        """Which regular checkpoint of this run is the newest, in words."""
        if self.last is None:
            return "no checkpoint was saved before"
        return f"the newest checkpoint is {self.last.name}"

    def has(self, name: str) -> bool:
        """Whether a checkpoint of this name is there; a process that does not write says yes."""
        return not self._ranks.writes or os.path.lexists(self._experiment.checkpoints / name)

    def name_last(self, name: str) -> None:
        """Give the newest regular checkpoint one more name."""
        self._behind.join()
        if self.last is not None and self._ranks.writes:
            point(self._experiment.checkpoints / name, self.last)

    def emergency(self, name: str, mark: Mark, *, alone: bool = False) -> SaveReport | None:
        """Save under an emergency's name; no regular checkpoint is touched, nothing is removed.

        ``alone``: the other processes do not know of it. None where another one writes.
        """
        self.settle()
        streams = [] if alone else self._ranks.gather(stored_streams(mark))
        if not self._ranks.writes:
            return None
        streams = streams or self._known_alone(mark)
        report = self._begin(name, mark, streams, careful=True).write()
        self._write_history(history_data(self.history))
        return report

    def _known_alone(self, mark: Mark) -> list[Any]:
        """Every process's streams at a mark as far as this one knows; tells whose it does not."""
        others = [] if self.kept is None else self.kept.of_others(mark)
        unknown = [str(rank) for rank, one in enumerate(others, 1) if one is None]
        if unknown:
            self._tell(
                f"the random streams of process {', '.join(unknown)} at this step are not known: "
                "a resume from here begins them afresh"
            )
        return [stored_streams(mark), *others]

    def settle(self) -> None:
        """Wait for a background save, and tell what it raised: something else is being raised."""
        error = self._behind.settle()
        if error is not None:
            self.owes = True
            self._tell(f"the background save before failed: {error}")

    def end(self) -> None:
        """Nothing is saved any more."""
        if self.kept is not None:
            self.kept.end()

    def _sealed(self, report: SaveReport, rows: Mapping[str, Any], *, is_best: bool) -> None:
        """What a save that is on disk lets happen, and nothing else does."""
        self.last = report.path
        line_best, self.line_best = self.line_best, None
        if line_best is not None:
            note = follow_line(self._experiment.checkpoints, line_best, replaced=is_best)
            if note:
                self._tell(note)
        if self._recipe.latest:
            point(self._experiment.checkpoints / LATEST, report.path)
        if is_best:
            point(self._experiment.checkpoints / BEST, report.path)
        self._write_history(rows)
        prune_run(self._experiment, self._recipe.retention, tell=self._tell)

    def write_rows(self, *, all_anew: bool) -> None:
        """Write the history for people, if it has more rows than its file. Raises: StorageError."""
        if self._ranks.writes and (all_anew or len(self.history) > self.n_written):
            self._write_history(history_data(self.history))

    def _write_history(self, rows: Mapping[str, Any]) -> None:
        write_history(self._experiment.folder, rows)
        self.n_written = len(rows["epoch"])

    def _begin(
        self, name: str, mark: Mark, streams: list[Any], *, careful: bool = False
    ) -> PendingSave:
        recipe, target = self._recipe, self._experiment.checkpoints / name
        parent = self.last if self.last is not None and os.path.lexists(self.last) else None
        options = SaveOptions(
            parent=parent, trainer=recipe.trainer, versions=recipe.versions,
            side_files=recipe.side_files,
        )  # fmt: skip
        sections = self.sections(mark, streams, careful=careful)
        try:
            return begin_save(target, sections, options)
        except TargetExistsError as exc:
            aside = set_aside(target)
            self._tell(f"{name} {exc.seen}: it is {aside.name} now")
            return begin_save(target, sections, options)
