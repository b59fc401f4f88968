"""What retention means for the checkpoints of one run on disk: the plan, and carrying it out."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ckptkit.errors import CkptkitError, WriteFailedError
from ckptkit.nodes import MapNode
from ckptkit.run.aliases import identity
from ckptkit.run.choose import Found, Skipped, survey
from ckptkit.run.experiment import Experiment
from ckptkit.run.names import ALIASES, role_of
from ckptkit.run.retention import Candidate, Fate, KeepAll, Retention, plan_retention
from ckptkit.run.slim import RESUME_ONLY, slim
from ckptkit.storage.leftovers import discard
from ckptkit.verbs.open import load

PIN_NAME = "PINNED"  # a file of this name in a checkpoint's folder keeps it for ever


class PrunePlan(NamedTuple):
    """The fate of every checkpoint, oldest first; damaged ones are left to ``recover``."""

    fates: tuple[Fate, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def freed_nbytes(self) -> int:
        """Bytes that carrying it out frees; files that others share free nothing."""
        return sum(fate.freed_nbytes for fate in self.fates)


def plan_prune(folder: Path, retention: Retention) -> PrunePlan:
    """Decide what would go of a folder of checkpoints; changes nothing."""
    found, skipped = survey(folder)
    aliased = {identity(folder / name): name for name in ALIASES}
    regular = [one for one in found if one.path.name not in ALIASES and one.path.is_dir()]
    candidates = [_candidate(one, aliased) for one in regular]
    return PrunePlan(tuple(plan_retention(candidates, retention)), tuple(skipped))


def apply_prune(folder: Path, plan: PrunePlan) -> None:
    """Carry a plan out, oldest first. Raises: WriteFailedError; what was done stays done."""
    for fate in plan.fates:
        path = folder / fate.candidate.name
        try:
            if fate.verdict == "remove":
                discard(path)
            elif fate.verdict == "slim":
                slim(path)
        except OSError as exc:
            raise WriteFailedError(
                path, f"could not be removed: {exc.strerror}", "a folder that may be changed",
                "look at its rights; nothing else was touched after it",
            ) from exc  # fmt: skip


def prune_run(experiment: Experiment, retention: Retention, tell: Callable[[str], None]) -> None:
    """Prune after a save. What cannot be removed is told; it never fails the save before it."""
    if isinstance(retention.keep, KeepAll) and retention.full is None:
        return
    plan = plan_prune(experiment.checkpoints, retention)
    try:
        apply_prune(experiment.checkpoints, plan)
    except CkptkitError as exc:
        tell(f"retention: {exc}")


def _candidate(one: Found, aliased: dict[bytes | None, str]) -> Candidate:
    with load(one.path) as checkpoint:
        metrics = checkpoint.document.get("metrics")
        sections = [name for name in checkpoint.document if name in RESUME_ONLY]
    pinned = aliased.get(one.identity, "") if one.identity else ""
    if not pinned and role_of(one.path.name).kind not in ("epoch", "step"):
        pinned = "not a periodic checkpoint"
    if not pinned and os.path.lexists(one.path / PIN_NAME):
        pinned = "pinned"
    sizes = {path.name: _own_nbytes(path) for path in one.path.rglob("*") if path.is_file()}
    state = sum(n for name, n in sizes.items() if name.partition(".")[0] in sections)
    return Candidate(
        one.path.name, one.epochs, one.steps, _unix(one.created), _score(metrics), pinned,
        sum(sizes.values()), state,
    )  # fmt: skip


def _own_nbytes(path: Path) -> int:
    """What removing a file frees: nothing, where another name holds on to its bytes."""
    status = path.lstat()
    return status.st_size if status.st_nlink == 1 else 0


def _score(metrics: object) -> float | None:
    """The watched metric as it was when this checkpoint was saved."""
    if not isinstance(metrics, MapNode):
        return None
    best, latest = metrics.get("best"), metrics.get("latest")
    name = best.get("name") if isinstance(best, MapNode) else None
    value = latest.get(name) if isinstance(latest, MapNode) and isinstance(name, str) else None
    return float(value) if isinstance(value, (int, float)) else None


def _unix(created: str) -> float:
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return 0.0
