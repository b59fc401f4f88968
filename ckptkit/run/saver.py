"""Writing the checkpoints of a run: what goes in, under which name, and what moves afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptkit.run.aliases import point
from ckptkit.run.experiment import Experiment
from ckptkit.run.history import History, write_history
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Best
from ckptkit.run.names import BEST, LATEST
from ckptkit.run.prune import prune_run
from ckptkit.run.retention import Retention
from ckptkit.run.sections import mark_sections, waiting_gradients
from ckptkit.verbs.save import save
from ckptkit.verbs.saving.report import SaveReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What every checkpoint of a run is made of, apart from its mark."""

    state: Mapping[str, Any]
    config: Any = None
    trainer: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)
    side_files: Mapping[str, Any] = field(default_factory=dict)
    latest: bool = True
    retention: Retention = field(default_factory=Retention)


class Saver:
    """Saves, and then, only then, moves the aliases, writes the history and removes what may go."""

    def __init__(self, experiment: Experiment, recipe: Recipe, tell: Callable[[str], None]) -> None:
        self._experiment, self._recipe, self._tell = experiment, recipe, tell
        self.last: Path | None = None  # the newest regular checkpoint of this run
        self.history = History()
        self.best: Best | None = None
        self.latest_metrics: dict[str, float] = {}
        self.trackers: dict[str, Any] = {}
        self.probe: dict[str, Any] | None = None

    @property
    def state(self) -> Mapping[str, Any]:
        """The script's own live objects."""
        return self._recipe.state

    def sections(self, mark: Mark) -> dict[str, Any]:
        """Everything that a checkpoint of this moment holds."""
        recipe = self._recipe
        metrics: dict[str, Any] = {"latest": dict(self.latest_metrics)}
        if self.best is not None:
            metrics["best"] = self.best.as_tree()
        sections = {
            **recipe.state, **mark_sections(mark), "metrics": metrics,
            "history": self.history.state(), "config": recipe.config,
        }  # fmt: skip
        if self.trackers:
            sections["trackers"] = self.trackers
        if self.probe is not None:
            sections["probe"] = self.probe
        if mark.micro_batches:
            gradients = waiting_gradients(recipe.state)
            if gradients:
                sections["gradients"] = gradients
        return {name: value for name, value in sections.items() if value is not None}

    def regular(self, name: str, mark: Mark, *, is_best: bool) -> SaveReport:
        """Save under a regular name; then move ``latest_checkpoint`` and perhaps ``best_model``."""
        report = self._write(name, mark)
        self.last = report.path
        if self._recipe.latest:
            point(self._experiment.checkpoints / LATEST, report.path)
        if is_best:
            point(self._experiment.checkpoints / BEST, report.path)
        write_history(self._experiment.folder, self.history)
        prune_run(self._experiment, self._recipe.retention, tell=self._tell)
        return report

    def name_last(self, name: str) -> None:
        """Give the newest regular checkpoint one more name."""
        if self.last is not None:
            point(self._experiment.checkpoints / name, self.last)

    def emergency(self, name: str, mark: Mark) -> SaveReport:
        """Save under an emergency's name; no regular checkpoint is touched, nothing is removed."""
        report = self._write(name, mark)
        write_history(self._experiment.folder, self.history)
        return report

    def _write(self, name: str, mark: Mark) -> SaveReport:
        recipe, target = self._recipe, self._experiment.checkpoints / name
        parent = self.last if self.last is not None and os.path.lexists(self.last) else None
        return save(
            target, self.sections(mark), parent=parent, trainer=recipe.trainer,
            versions=recipe.versions, side_files=recipe.side_files,
        )  # fmt: skip
