"""What a person means by a path: a checkpoint, a run, or the newest run below a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from ckptkit.errors import CkptkitError, NoCheckpointError, NotFoundError
from ckptkit.run.choose import TRIES, Skipped, choose, choose_named, survey
from ckptkit.run.experiment import (
    CHECKPOINTS,
    LATEST_WORD,
    Experiment,
    find_experiment,
    has_checkpoints,
    is_experiment,
    list_experiments,
)
from ckptkit.types import MANIFEST_NAME

RUNS = "runs"  # where runs lie unless something else is said
Result = TypeVar("Result")
_DEPTH = 3  # levels of folders below RUNS in which runs are looked for


class Subject(NamedTuple):
    """``path`` is what was meant: a checkpoint, or a run's folder.

    ``experiment`` is the run that it is or lies in; None: a checkpoint that lies in no run.
    """

    path: Path
    experiment: Experiment | None

    @property
    def is_checkpoint(self) -> bool:
        """Whether one checkpoint was named, and no run."""
        return self.experiment is None or self.experiment.folder != self.path

    @property
    def root(self) -> Path | None:
        """The folder that holds the run."""
        return None if self.experiment is None else self.experiment.folder.parent


def find_subject(word: str, runs: Path = Path(RUNS)) -> Subject:
    """Find what ``word`` means: "latest", a path, or the name of a folder below ``runs``.

    Raises: NotFoundError, NoCheckpointError.
    """
    if word == LATEST_WORD:
        return _newest_below(runs)
    path = Path(word)
    if not os.path.lexists(path):
        if os.path.lexists(runs / path) and not path.is_absolute():
            return find_subject(str(runs / path), runs)
        raise NotFoundError(
            path, "there is nothing at this path",
            "a checkpoint, a run's folder, the folder that holds it, or latest",
            _there_are(runs),
        )  # fmt: skip
    return _at(path)


def _at(path: Path) -> Subject:
    home = path.absolute().parent
    if home.name == CHECKPOINTS and is_experiment(home.parent):
        inside = Path(path.parent.parent) if path.parent.name == CHECKPOINTS else home.parent
        return Subject(path, Experiment(inside))
    if not path.is_dir() or os.path.lexists(path / MANIFEST_NAME):
        return Subject(path, None)
    if path.absolute().name == CHECKPOINTS and is_experiment(home):
        return Subject(path.parent, Experiment(path.parent))
    if is_experiment(path) or list_experiments(path):
        found = find_experiment(path)
        return Subject(found.folder, found)
    if list(_runs_below(path)):
        return _newest_below(path)
    return Subject(path, None)  # a checkpoint of another program may be a folder


def _newest_below(folder: Path) -> Subject:
    """The run below ``folder`` whose checkpoints changed last. Raises: NoCheckpointError."""
    filled = [one for one in _runs_below(folder) if has_checkpoints(one)]
    if not filled:
        raise NoCheckpointError(
            folder, "no run with a checkpoint lies below it", "a run to go on with",
            "begin one: ckptkit train NAME; or name a checkpoint",
        )  # fmt: skip
    newest = max(filled, key=lambda one: one.checkpoints.stat().st_mtime_ns)
    return Subject(newest.folder, newest)


def _runs_below(folder: Path, depth: int = _DEPTH) -> list[Experiment]:
    found = list_experiments(folder)
    if not found and depth and folder.is_dir():
        for inside in sorted(folder.iterdir()):
            if inside.is_dir() and not inside.name.startswith("."):
                found += _runs_below(inside, depth - 1)
    return found


def _there_are(runs: Path) -> str:
    names = sorted({str(one.folder.parent) for one in _runs_below(runs)})
    return f"there are runs in {', '.join(names[:6])}" if names else ""


def settings_source(subject: Subject) -> Path:
    """The checkpoint to ask for trainer and settings: headers tell. Raises: NoCheckpointError."""
    if subject.is_checkpoint or subject.experiment is None:
        return subject.path
    return find_newest(subject)[0]


def find_newest(subject: Subject) -> tuple[Path, list[Skipped]]:
    """The newest checkpoint of a run by its headers, and what was passed over.

    Raises: NoCheckpointError.
    """
    assert subject.experiment is not None
    found, skipped = survey(subject.experiment.checkpoints)
    if found:
        return found[0].path, skipped
    told = "; ".join(f"{one.path.name}: {one.reason}" for one in skipped[:3])
    raise NoCheckpointError(
        subject.experiment.folder,
        f"holds no checkpoint that can be read ({told})" if told else "holds no checkpoint yet",
        "a run with a checkpoint", "begin it again, or name another",
    )  # fmt: skip


def use_chosen(choose: Callable[[], Path], use: Callable[[Path], Result]) -> Result:
    """Use the checkpoint that is chosen; where a training removed it meanwhile, choose again.

    Raises: what both raise.
    """
    for _ in range(TRIES - 1):
        path = choose()
        try:
            return use(path)
        except (CkptkitError, OSError):
            if os.path.lexists(path):
                raise
    return use(choose())


def checkpoint_to_use(subject: Subject, which: str = LATEST_WORD) -> Path:
    """The checkpoint to look at: the one that was named, or ``which`` of the run: latest, best.

    Raises: NotFoundError; NoCheckpointError where none is whole.
    """
    if subject.is_checkpoint or subject.experiment is None:
        return subject.path
    folder = subject.experiment.checkpoints
    choice = choose(folder) if which == LATEST_WORD else choose_named(folder, which)
    if choice.chosen is None:
        told = "; ".join(f"{one.path.name}: {one.reason}" for one in choice.skipped[:5])
        raise NoCheckpointError(
            folder, f"holds no checkpoint that is whole ({told or 'it is empty'})", "",
            "look with ckptkit list, or name another",
        )  # fmt: skip
    return choice.chosen.path
