"""A run as it lies on disk, for a notebook or a report: nothing is trained, nothing is changed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckptkit.run.choose import Found, Skipped, survey
from ckptkit.run.experiment import LATEST_WORD, Experiment
from ckptkit.run.folders import locate
from ckptkit.run.history import Event
from ckptkit.run.names import INTERRUPTED, role_of
from ckptkit.run.remembered import BestRow, Reader, best_of, history_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BestRow", "RunView", "open_run"]


class RunView:
    """One run: ``history`` as columns, ``config``, ``best``, ``checkpoints`` newest first.

    ``events`` are the resumes, interruptions and new bests, ``skipped`` what lies among the
    checkpoints and cannot be read, ``notes`` what else a person should know. In a notebook it
    shows itself; ``plot()`` draws its curves.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.checkpoints: list[Found]
        self.skipped: list[Skipped]
        self.checkpoints, self.skipped = survey(experiment.checkpoints)
        reader = Reader(self.checkpoints)
        history = history_in(experiment.folder, reader)
        self.history: dict[str, list[Any]] = history.columns()
        self.events: list[Event] = [
            *history.events,
            *_emergencies(self.checkpoints, history.events),
        ]
        self.best: BestRow | None = best_of(reader, self.history)
        self.config: dict[str, Any] = _config_of(experiment, reader)
        self.notes: list[str] = reader.notes

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.experiment.folder

    @property
    def name(self) -> str:
        """The run's name: its folder's, behind that of the folder which holds its stamp."""
        here = self.folder.resolve()
        return f"{here.parent.name}/{here.name}" if here.parent.name else here.name

    @property
    def best_epoch(self) -> int | None:
        """The epoch, counted from 1, at which the watched metric was best; None if unknown."""
        return self.best.epoch or None if self.best else None

    @property
    def n_rows(self) -> int:
        """How many rows the history has."""
        return len(self.history["epoch"])

    def plot(
        self, metrics: Sequence[str] = (), *, x: str = "", log: bool = False, smooth: float = 0.0
    ) -> Figure:
        """Draw the training curves: a matplotlib figure, which a notebook shows.

        ``metrics`` are names or globs, ``x`` is "epoch" or "step", ``smooth`` from 0 to below 1.
        Raises: NotFoundError for a metric that is not there; MissingExtraError without matplotlib.
        """
        from ckptkit.run.curves import Wish, plan_picture
        from ckptkit.run.plot import draw

        wish = Wish(metrics=tuple(metrics), x=x, log=log, smooth=smooth)
        return draw(plan_picture([self], wish))

    def __repr__(self) -> str:
        from ckptkit.run.notebook import where_it_stands

        last = self.checkpoints[0] if self.checkpoints else None
        told = "no checkpoint" if last is None else where_it_stands(last)
        best = f", best {self.best.name} {self.best.value:.4g}" if self.best else ""
        return f"<run {self.experiment.name}: {told}{best}, {self.n_rows} rows>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from ckptkit.run.notebook import page

        return page(self)


def open_run(path: str | os.PathLike[str], name: str = LATEST_WORD) -> RunView:
    """Look at a run: its own folder, the folder that holds runs, or any folder of checkpoints.

    It needs no torch. What is damaged is left out and told in ``skipped`` and ``notes``.
    Raises: NotFoundError, which names the runs that are there; NoCheckpointError.
    """
    return RunView(locate(Path(path), name))


def _emergencies(found: Sequence[Found], events: Sequence[Event]) -> list[Event]:
    """Emergency checkpoints of which no event tells: a resume from an older one forgot them."""
    told = {(one.step, one.epoch) for one in events if one.kind not in ("best", "resumed")}
    lost = []
    for one in reversed(found):
        name = one.path.name.split(".")[0]
        role = role_of(name)
        place = (one.steps, one.epochs or role.number or 0)
        if role.kind == "emergency" and place not in told:
            kind = "interrupted" if name == INTERRUPTED else "emergency"
            lost.append(Event(kind, place[1], place[0], 0.0, name))
    return lost


def _config_of(experiment: Experiment, reader: Reader) -> dict[str, Any]:
    """The settings: their file, or those that the newest checkpoint holds."""
    try:
        config = json.loads(experiment.config_file.read_bytes())
        if isinstance(config, dict):
            return config
        reader.note(f"{experiment.config_file.name} holds no settings")
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError) as exc:
        reader.note(f"{experiment.config_file.name} cannot be read: {exc!s:.80}")
    for _, stored in reader.sections("config"):
        if isinstance(stored, dict):
            own = stored.get("settings") if "asked" in stored else stored
            return own if isinstance(own, dict) else stored
    return {}
