"""Where a run goes on, decided while nobody else can change what the decision rests on."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from ckptkit.run.choose import survey
from ckptkit.run.decide import Ask, Decision, choose_newest, decide
from ckptkit.storage.lock import FolderLock


def decide_and_hold(
    root: Path, resume: str | os.PathLike[str] | None, now: datetime, ask: Ask | None
) -> tuple[Decision, FolderLock]:
    """Decide, lock the run's folder, and decide again if its last writer saved in between.

    Raises: as ``decide``; LockedError while another process trains there.
    """
    decision = decide(root, resume, now, ask)
    lock = FolderLock(decision.experiment.folder)
    try:
        if decision.newest and _is_outdated(decision):
            decision = choose_newest(decision.experiment)
    except BaseException:
        lock.release()
        raise
    return decision, lock


def _is_outdated(decision: Decision) -> bool:
    """Whether another checkpoint is the newest now, of those that were not passed over."""
    passed = {one.path for one in decision.skipped}
    for one in survey(decision.experiment.checkpoints)[0]:
        if decision.checkpoint in (one.path, *one.again):
            return False
        if one.path not in passed:
            return True
    return decision.checkpoint is not None
