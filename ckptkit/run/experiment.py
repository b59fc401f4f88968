"""Experiment folders: ``<root>/<name>/YYYYMMDD_HHMMSS_v1/``, made once and found again.

Nothing in one is an absolute path, so that it may be moved, copied and renamed as a whole.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from ckptkit.errors import AccessDeniedError, NotFoundError, WriteFailedError
from ckptkit.run.names import FOREIGN_SUFFIXES, RNG_FILE
from ckptkit.storage.lock import LOCK_NAME
from ckptkit.types import MANIFEST_NAME

CHECKPOINTS, SAMPLES, LOGS = "checkpoints", "samples", "logs"
CONFIG_NAME = "config.json"
LATEST_WORD = "latest"
_STAMP = re.compile(r"(\d{8}_\d{6})_v(\d+)")


class Experiment:
    """One run folder and the places in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.folder / CHECKPOINTS

    @property
    def samples(self) -> Path:
        """Where a script puts pictures and other outputs."""
        return self.folder / SAMPLES

    @property
    def logs(self) -> Path:
        """Where trackers write."""
        return self.folder / LOGS

    @property
    def config_file(self) -> Path:
        """The settings of the run, for people."""
        return self.folder / CONFIG_NAME

    @property
    def name(self) -> str:
        """The folder's own name, such as ``20251230_153045_v1``."""
        return self.folder.name

    def remove_empty(self) -> None:
        """Remove the folder of a run that did not begin, unless somebody wrote something into it.

        Raises: nothing: an empty folder is no reason to hide why the run did not begin.
        """
        inside = (self.checkpoints, self.samples, self.logs)
        with suppress(OSError):
            known = {*inside, self.folder / LOCK_NAME}
            if any(one not in known or any(_entries(one)) for one in self.folder.iterdir()):
                return
            for folder in inside:
                folder.rmdir()
            (self.folder / LOCK_NAME).unlink(missing_ok=True)
            self.folder.rmdir()

    def complete(self) -> None:
        """Make the folders in it that are missing: its maker may have died between two of them.

        Raises: OSError; AccessDeniedError now, not when an epoch's work is to be saved.
        """
        for inside in (self.checkpoints, self.samples, self.logs):
            inside.mkdir(exist_ok=True)
        if not os.access(self.checkpoints, os.W_OK | os.X_OK):
            raise AccessDeniedError(
                self.checkpoints, "may not be written to", "to be allowed to save here",
                "change its permissions, or choose another folder for the run",
            )  # fmt: skip


def _entries(path: Path) -> list[Path]:
    return [*path.iterdir()] if path.is_dir() else []


def is_experiment(folder: Path) -> bool:
    """Say whether a folder is a run's: it has the stamp, or a folder of checkpoints."""
    return folder.is_dir() and (
        _STAMP.fullmatch(folder.name) is not None or (folder / CHECKPOINTS).is_dir()
    )


def make_experiment(root: Path, now: datetime) -> Experiment:
    """Make a new run folder below ``root``; two in one second get ``_v1`` and ``_v2``.

    Raises: WriteFailedError, AccessDeniedError.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder = _claim(root, now.strftime("%Y%m%d_%H%M%S"))
        made = Experiment(folder)
        made.complete()
    except PermissionError as exc:
        raise AccessDeniedError(
            root, "may not be written to", "to be allowed to create folders here",
            "choose another folder for the run",
        ) from exc  # fmt: skip
    except OSError as exc:
        raise WriteFailedError(root, f"no run folder could be made: {exc.strerror}") from exc
    return made


def _claim(root: Path, stamp: str) -> Path:
    """Make a folder that sorts behind all others: mkdir is what decides between two.

    A clock that went back (summer time, another zone) must not make the newest run an old one.
    """
    taken = [_stamp_key(one.name) for one in list_experiments(root)]
    stamp = max([stamp, *(known for known, _ in taken)])
    version = 1 + max((number for known, number in taken if known == stamp), default=0)
    while True:
        folder = root / f"{stamp}_v{version}"
        try:
            folder.mkdir()
        except FileExistsError:
            version += 1
        else:
            return folder


def list_experiments(root: Path) -> list[Experiment]:
    """Every run folder directly below ``root``, oldest first by its stamp.

    Those that were renamed come before all that have a stamp, by when they were saved to last: a
    backup beside a run is not newer than the run.
    """
    if not root.is_dir():
        return []
    with os.scandir(root) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".")]
    stamped = [one.name for one in found if _STAMP.fullmatch(one.name)]
    other = [one.name for one in found if one.is_dir(follow_symlinks=False)]
    saved = {name: saved_s(Experiment(root / name)) for name in {*other} - {*stamped}}
    renamed = sorted((name for name in saved if saved[name]), key=lambda name: (saved[name], name))
    return [Experiment(root / name) for name in (*renamed, *sorted(stamped, key=_stamp_key))]


def saved_s(experiment: Experiment) -> float:
    """When a run saved its last checkpoint (Unix time), by its files' times; 0.0: none is there."""
    try:
        with os.scandir(experiment.checkpoints) as entries:
            sealed = [Path(one.path) for one in entries if not one.name.startswith(".")]
        seals = [one / MANIFEST_NAME for one in sealed if os.path.lexists(one / RNG_FILE)]
        return max((one.stat().st_mtime for one in seals if os.path.lexists(one)), default=0.0)
    except OSError:
        return 0.0


def saved_later(root: Path, chosen: Experiment) -> Experiment | None:
    """The run below ``root`` that has another name than it was given, and a newer checkpoint."""
    others = (one for one in list_experiments(root) if not _STAMP.fullmatch(one.name))
    newest = max(others, key=saved_s, default=chosen)
    return newest if saved_s(newest) > saved_s(chosen) else None


def _stamp_key(name: str) -> tuple[str, int]:
    match = _STAMP.fullmatch(name)
    return (match[1], int(match[2])) if match else ("", 0)


def find_experiment(root: Path, wanted: str = LATEST_WORD) -> Experiment:
    """Find a run below ``root``: "latest", or the name of its folder; ``root`` may be the run.

    "latest" is the newest that holds anything in its checkpoints folder, else the newest: a run
    that died before its first save does not hide the one before it.
    Raises: NotFoundError, which names those that are there.
    """
    if wanted == LATEST_WORD and is_experiment(root):
        return Experiment(root)
    known = list_experiments(root)
    if wanted == LATEST_WORD and known:
        filled = [one for one in known if has_checkpoints(one)]
        return (filled or known)[-1]
    if wanted != LATEST_WORD and is_experiment(root / wanted):
        return Experiment(root / wanted)
    shown = ", ".join(one.name for one in known[-5:]) or "none"
    raise NotFoundError(
        root, f"has no run named {wanted!r}; the newest are: {shown}" if known else "holds no run",
        "the name of a run folder, or latest", "start one, or name the folder that holds it",
    )  # fmt: skip


def has_checkpoints(experiment: Experiment) -> bool:
    """Say whether anything sealed lies in it, or another program's file, by names alone."""
    try:
        with os.scandir(experiment.checkpoints) as entries:
            return any(
                os.path.lexists(Path(entry.path) / MANIFEST_NAME)
                or entry.name.endswith(FOREIGN_SUFFIXES)
                for entry in entries
            )
    except OSError:
        return False
