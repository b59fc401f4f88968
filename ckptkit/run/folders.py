"""From what a person names to the run that is meant: its folder, its root, or bare checkpoints."""

from __future__ import annotations

import os
from pathlib import Path

from ckptkit.errors import NoCheckpointError, NotFoundError
from ckptkit.run.experiment import (
    CHECKPOINTS,
    LATEST_WORD,
    Experiment,
    find_experiment,
    is_experiment,
    list_experiments,
)
from ckptkit.run.history import FILE_NAME
from ckptkit.run.names import FOREIGN_SUFFIXES
from ckptkit.storage.catalog import is_leftover
from ckptkit.types import MANIFEST_NAME


class BareFolder(Experiment):
    """A folder of checkpoints that no run folder holds, as most scripts keep them."""

    @property
    def checkpoints(self) -> Path:
        """The folder itself."""
        return self.folder


def locate(path: Path, name: str = LATEST_WORD) -> Experiment:
    """Find the run at ``path``: a run folder, one that holds runs, or one of checkpoints.

    The ``checkpoints`` folder of a run is that run.
    Raises: NotFoundError, which names the runs that are there; NoCheckpointError.
    """
    if not path.is_dir():
        seen = "is a file" if os.path.lexists(path) else "there is nothing at this path"
        raise NotFoundError(path, seen, "the folder of a run", "name the folder that holds it")
    if os.path.lexists(path / MANIFEST_NAME):
        raise NoCheckpointError(
            path, "is one checkpoint", "the folder of a run, or of checkpoints",
            f"name the folder that it lies in: {path.parent}",
        )  # fmt: skip
    if name != LATEST_WORD or is_experiment(path) or list_experiments(path):
        return find_experiment(path, name)
    above = path.resolve().parent
    if path.resolve().name == CHECKPOINTS and is_experiment(above):
        return Experiment(path.parent if path.name == CHECKPOINTS else above)
    if _holds_something(path):
        return BareFolder(path)
    raise NoCheckpointError(
        path, "holds no run, no checkpoint and no history",
        "a run folder, the folder that holds it, or a folder of checkpoints",
        "name one of those; ckptkit list shows every checkpoint below a folder",
    )  # fmt: skip


def _holds_something(folder: Path) -> bool:
    """Say whether a history or anything that looks like a checkpoint lies in it, by names alone."""
    with os.scandir(folder) as entries:
        return any(
            entry.name == FILE_NAME
            or entry.name.endswith(FOREIGN_SUFFIXES)
            or os.path.lexists(Path(entry.path) / MANIFEST_NAME)
            for entry in entries
            if not is_leftover(entry.name) and not entry.name.startswith(".")
        )
