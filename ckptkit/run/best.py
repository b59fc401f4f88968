"""``best_model``: which checkpoint it should name, and a new one where it was lost."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.run.aliases import identity, point
from ckptkit.run.choose import Found, damage, find_whole, survey
from ckptkit.run.metrics import Best
from ckptkit.run.names import BEST
from ckptkit.storage.aside import set_aside
from ckptkit.verbs.open import load


class Rebuilt(NamedTuple):
    """What ``best_model`` was made from. ``sure``: a recorded value says that it is the best."""

    path: Path
    source: Path
    sure: bool
    note: str


def restore_lost(folder: Path, best: Best | None) -> str:
    """Make ``best_model`` anew where a run had a best and its name is gone; tell, if so."""
    if best is None or best.value is None or os.path.lexists(folder / BEST):
        return ""
    rebuilt = rebuild_best(folder, best.as_tree())
    return "" if rebuilt is None else rebuilt.note


def rebuild_best(folder: Path, told: dict[str, Any] | None = None) -> Rebuilt | None:
    """Make ``best_model`` anew from the checkpoints that are left; None if there is none.

    The recorded best decides, that of the newest if none is ``told``: the checkpoint that was
    saved where it was reached. Where that one is gone too, the most recent stands in, and the
    note says that it may not be the best.
    """
    found = [one for one in survey(folder)[0] if one.path.name != BEST]
    newest = next((whole for one in found if (whole := _whole(one)) is not None), None)
    if newest is None:
        return None
    told = told or _recorded_best(newest.path)
    match = next((one for one in found if told is not None and _is_it(one, told)), None)
    match = None if match is None else _whole(match)
    source = newest if match is None else match
    if source.path.is_dir():  # a file of another program has no second name
        point(folder / BEST, source.path)
    sure = source is match
    note = f"{BEST} was missing; {source.path.name} takes its place"
    if not sure:
        note += ", the most recent one, which may not be the best"
    path = folder / BEST if source.path.is_dir() else source.path
    return Rebuilt(path, source.path, sure, note)


def _whole(one: Found) -> Found | None:
    path = find_whole(one)[0]
    return None if path is None else one._replace(path=path)


def follow_line(folder: Path, best: Best, *, replaced: bool) -> str:
    """After a run went back, let ``best_model`` be the best of what it went on from; tell, if so.

    The only copy of a better one, of the line that was left, is set aside and not destroyed.
    ``replaced``: a new best takes the name now.
    """
    alias, told = folder / BEST, best.as_tree()
    mine = identity(alias)
    if mine is None or best.value is None or not (best.step or best.epoch):
        return ""
    found = survey(folder)[0]
    its = [one for one in found if _is_it(one, told)]
    match = next((one for one in its if one.path.name != BEST), None)
    if any(identity(one.path) == mine for one in its) or (match is None and not replaced):
        return ""
    note = f"{BEST} was of what the run has left"
    alone = not any(identity(path) == mine for path in folder.iterdir() if path != alias)
    if alone:
        note += f": that is {set_aside(alias).name} now"
    if not replaced and match is not None and not damage(match.path):
        point(alias, match.path)
        return f"{note}; {match.path.name} takes its place"
    return note if alone else ""


def _recorded_best(path: Path) -> dict[str, Any] | None:
    with load(path) as checkpoint:
        metrics = checkpoint.state("metrics") if "metrics" in checkpoint.document else None
    best = metrics.get("best") if isinstance(metrics, dict) else None
    if not isinstance(best, dict) or not isinstance(best.get("value"), (int, float)):
        return None
    return None if math.isnan(best["value"]) else best


def _is_it(one: Found, best: dict[str, Any]) -> bool:
    """The checkpoint of the very step (or, in older formats, epoch) at which it was reached."""
    step, epoch = best.get("step"), best.get("epoch")
    return one.steps == step if step else bool(epoch) and one.epochs == epoch
