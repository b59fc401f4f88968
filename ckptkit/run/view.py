"""A run as it lies on disk, for a notebook or a report: nothing is trained, nothing is changed."""

from __future__ import annotations

import html
import json
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.errors import CkptkitError, CorruptFileError
from ckptkit.run.choose import Found, Skipped, survey
from ckptkit.run.experiment import Experiment, find_experiment
from ckptkit.run.history import Event, History, read_history
from ckptkit.verbs.open import load


class BestRow(NamedTuple):
    """The best value of the watched metric and where it was reached."""

    name: str
    mode: str
    value: float
    epoch: int
    step: int


class RunView:
    """One run: ``history`` as columns, ``config``, ``best``, ``checkpoints`` newest first.

    ``events`` are the resumes, interruptions and new bests. ``skipped`` names what lies among the
    checkpoints and cannot be read.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.checkpoints: list[Found]
        self.skipped: list[Skipped]
        self.checkpoints, self.skipped = survey(experiment.checkpoints)
        self._history, self.notes = _history_of(experiment, self.checkpoints)
        self.history: dict[str, list[Any]] = self._history.columns()
        self.events: list[Event] = self._history.events
        self.config: dict[str, Any] = _config_of(experiment)
        self.best: BestRow | None = _best_of(self.checkpoints)

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.experiment.folder

    @property
    def best_epoch(self) -> int | None:
        """The epoch, counted from 1, at which the watched metric was best."""
        return None if self.best is None else self.best.epoch

    def __repr__(self) -> str:
        last = self.checkpoints[0] if self.checkpoints else None
        told = "no checkpoint" if last is None else f"epoch {last.epochs}, step {last.steps}"
        best = f", best {self.best.name} {self.best.value:.4g}" if self.best else ""
        return f"<run {self.experiment.name}: {told}{best}, {len(self._history)} rows>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the last rows of the history, with the best one marked."""
        names = list(self.history)
        head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
        rows = list(zip(*self.history.values(), strict=True))[-_SHOWN_ROWS:]
        body = "".join(self._html_row(names, row) for row in rows)
        return (
            f"<p>{html.escape(repr(self)[1:-1])}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _html_row(self, names: list[str], row: tuple[Any, ...]) -> str:
        place = dict(zip(names, row, strict=True))
        best = self.best is not None and place.get("epoch") == self.best.epoch
        cells = "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row)
        return f'<tr style="font-weight:bold">{cells}</tr>' if best else f"<tr>{cells}</tr>"


_SHOWN_ROWS = 20


def open_run(path: str | os.PathLike[str], name: str = "latest") -> RunView:
    """Look at a run: its own folder, or the folder that holds it and its name.

    Raises: NotFoundError, which names the runs that are there.
    """
    return RunView(find_experiment(Path(path), name))


def _history_of(experiment: Experiment, found: list[Found]) -> tuple[History, list[str]]:
    """The history file, or what the newest checkpoint remembers where the file is damaged."""
    try:
        return read_history(experiment.folder), []
    except FileNotFoundError:
        notes = []
    except CorruptFileError as exc:
        notes = [str(exc)]
    history = History()
    for one in found:
        try:
            with load(one.path) as checkpoint:
                stored = checkpoint.state("history") if "history" in checkpoint.document else None
            if isinstance(stored, dict):
                history.restore(stored)
                return history, notes
        except (CkptkitError, ValueError, TypeError) as exc:
            notes.append(f"{one.path.name}: {exc}")
    return history, notes


def _config_of(experiment: Experiment) -> dict[str, Any]:
    try:
        config = json.loads(experiment.config_file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as exc:
        raise CorruptFileError(
            experiment.config_file, f"is no JSON ({exc})", "the settings of the run",
            "remove it: it is written again when the run goes on",
        ) from exc  # fmt: skip
    return config if isinstance(config, dict) else {}


def _best_of(found: list[Found]) -> BestRow | None:
    """What the newest readable checkpoint says was best."""
    for one in found:
        try:
            with load(one.path) as checkpoint:
                metrics = checkpoint.state("metrics") if "metrics" in checkpoint.document else None
        except CkptkitError:
            continue
        best = metrics.get("best") if isinstance(metrics, dict) else None
        value = best.get("value") if isinstance(best, dict) else None
        if isinstance(best, dict) and isinstance(value, (int, float)) and not math.isnan(value):
            return BestRow(
                str(best.get("name") or "value"), str(best.get("mode") or "min"), float(value),
                int(best.get("epoch") or 0), int(best.get("step") or 0),
            )  # fmt: skip
    return None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
