"""What retention means for the checkpoints of one run on disk: the plan, and carrying it out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ckptkit.errors import CkptkitError, ContainerError, WriteFailedError
from ckptkit.nodes import MapNode, SeqNode
from ckptkit.run.aliases import identity
from ckptkit.run.choose import Found, Skipped, damage, survey
from ckptkit.run.experiment import Experiment
from ckptkit.run.names import ALIASES, FINAL, role_of
from ckptkit.run.remembered import BestRow, Reader, best_of
from ckptkit.run.retention import Candidate, Fate, KeepAll, Retention, plan_retention
from ckptkit.run.slim import RESUME_ONLY, slim
from ckptkit.storage.freespace import storage_error
from ckptkit.storage.leftovers import discard
from ckptkit.verbs.open import load

SECOND_NAMES = (*ALIASES, FINAL)  # given to checkpoints that have a name already
PIN_NAME = "PINNED"  # a file of this name in a checkpoint's folder keeps it for ever


class PrunePlan(NamedTuple):
    """The fate of every checkpoint, oldest first; damaged ones are left to ``recover``."""

    fates: tuple[Fate, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def freed_nbytes(self) -> int:
        """Bytes that carrying it out frees; files that others share free nothing."""
        return sum(fate.freed_nbytes for fate in self.fates)


def plan_prune(
    folder: Path, retention: Retention, *, checked: Callable[[int], None] | None = None
) -> PrunePlan:
    """Decide what would go of a folder of checkpoints; changes nothing.

    With ``checked``, which gets the bytes read, the newest is read whole first: one that is
    damaged is skipped, and the newest that verifies stays in its place.
    """
    found, skipped = survey(folder)
    named = {one.identity for one in found if one.path.name not in SECOND_NAMES}
    first = [
        one
        for one in found
        if one.path.is_dir()
        and one.path.name not in ALIASES
        and (one.path.name not in SECOND_NAMES or one.identity not in named)
    ]
    while checked is not None and first and (reason := damage(first[0].path, checked)):
        skipped.append(Skipped(first.pop(0).path, reason))
    second = {identity(folder / name): name for name in reversed(SECOND_NAMES)}
    best = best_of(Reader(found), {})
    for one in first:
        if best is not None and is_of(one, best):
            second.setdefault(one.identity, "the best")
    looked = [_candidate(one, second) for one in first]
    bare = {candidate.name for candidate, n_sections in looked if not n_sections}
    fates = [
        fate._replace(verdict="keep", why=f"{fate.why}; it has weights alone")
        if fate.verdict == "slim" and fate.candidate.name in bare else fate
        for fate in plan_retention([candidate for candidate, _ in looked], retention)
    ]  # fmt: skip
    return PrunePlan(tuple(_with_shared_files(folder, fates)), tuple(skipped))


def apply_prune(
    folder: Path, plan: PrunePlan, done: Callable[[Fate], None] = lambda _fate: None
) -> list[Skipped]:
    """Carry a plan out, oldest first; ``done`` gets each that is finished.

    Returns those that were to lose their training state and turned out to be damaged: they are
    as they were. Raises: StorageError; what was done stays done.
    """
    damaged = []
    for fate in plan.fates:
        path = folder / fate.candidate.name
        try:
            if fate.verdict == "remove":
                discard(path)
            elif fate.verdict == "slim":
                slim(path)
        except ContainerError as exc:
            damaged.append(Skipped(path, f"{exc.kind}: {exc.seen}"))
            continue
        except OSError as exc:
            raise WriteFailedError(
                path, f"could not be removed: {exc.strerror}", "a folder that may be changed",
                "look at its rights; nothing else was touched after it",
            ) from exc  # fmt: skip
        if fate.verdict != "keep":
            done(fate)
    return damaged


def pin(checkpoint: Path) -> None:
    """Keep a checkpoint for ever; removing the file PINNED in it takes that back.

    Raises: NotFoundError, AccessDeniedError, WriteFailedError.
    """
    try:
        (checkpoint / PIN_NAME).touch()
    except OSError as exc:
        raise storage_error(exc, checkpoint / PIN_NAME, 0) from exc


def prune_run(experiment: Experiment, retention: Retention, tell: Callable[[str], None]) -> None:
    """Prune after a save. What cannot be removed is told; it never fails the save before it."""
    if isinstance(retention.keep, KeepAll) and retention.full is None:
        return
    try:
        plan = plan_prune(experiment.checkpoints, retention)
        for one in apply_prune(experiment.checkpoints, plan):
            tell(f"retention: {one.path.name} is left as it is: {one.reason}")
    except (CkptkitError, OSError) as exc:  # a person may remove what is being looked at
        tell(f"retention looks again after the next save: {exc}")


def _candidate(one: Found, second: dict[bytes | None, str]) -> tuple[Candidate, int]:
    """A checkpoint as retention sees it, and how many sections it has that only a resume needs."""
    with load(one.path) as checkpoint:
        score = _score(checkpoint.document, one)
        sections = [name for name in checkpoint.document if name in RESUME_ONLY]
    pinned = second.get(one.identity, "") if one.identity else ""
    if not pinned and role_of(one.path.name).kind not in ("epoch", "step"):
        pinned = "not a periodic checkpoint"
    if not pinned and os.path.lexists(one.path / PIN_NAME):
        pinned = "pinned"
    sizes = {path.name: _own_nbytes(path) for path in one.path.rglob("*") if path.is_file()}
    state = sum(n for name, n in sizes.items() if name.partition(".")[0] in sections)
    candidate = Candidate(
        one.path.name, one.epochs, one.steps, _unix(one.created), score, pinned,
        sum(sizes.values()), state,
    )  # fmt: skip
    return candidate, len(sections)


def is_of(one: Found, best: BestRow) -> bool:
    """Say whether this is the checkpoint at which the best was reached."""
    return one.steps == best.step if best.step else bool(best.epoch) and one.epochs == best.epoch


def _with_shared_files(folder: Path, fates: list[Fate]) -> list[Fate]:
    """Count what checkpoints that go together share: the last of them frees it."""
    places: dict[tuple[int, int], list[int]] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for number, fate in enumerate(fates):
        if fate.verdict != "remove":
            continue
        for path in (folder / fate.candidate.name).rglob("*"):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                key = status.st_dev, status.st_ino
                places.setdefault(key, []).append(number)
                sizes[key] = status.st_size, status.st_nlink
    told = list(fates)
    for key, numbers in places.items():
        nbytes, n_links = sizes[key]
        if len(numbers) == n_links:
            fate = told[numbers[-1]]
            freed = fate.candidate._replace(nbytes=fate.candidate.nbytes + nbytes)
            told[numbers[-1]] = fate._replace(candidate=freed)
    return told


def _own_nbytes(path: Path) -> int:
    """What removing a file frees: nothing, where another name holds on to its bytes."""
    status = path.lstat()
    return status.st_size if status.st_nlink == 1 else 0


def _score(document: MapNode, one: Found) -> float | None:
    """The watched metric, if it was measured of these very weights.

    ``metrics.latest`` of a checkpoint in mid-epoch is of the epoch before: the history tells.
    """
    metrics = document.get("metrics")
    best = metrics.get("best") if isinstance(metrics, MapNode) else None
    name = best.get("name") if isinstance(best, MapNode) else None
    if not isinstance(metrics, MapNode) or not isinstance(name, str):
        return None
    history = document.get("history")
    steps = _values(history, "step")
    if any(steps):
        measured = dict(zip(steps, _values(history, name), strict=False))
        value = measured.get(one.steps)
    else:
        latest = metrics.get("latest")
        value = latest.get(name) if isinstance(latest, MapNode) else None
    return float(value) if isinstance(value, (int, float)) else None


def _values(history: object, name: str) -> list[object]:
    column = history.get(name) if isinstance(history, MapNode) else None
    return list(column.items) if isinstance(column, SeqNode) else []


def _unix(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0
