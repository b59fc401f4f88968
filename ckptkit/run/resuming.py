"""Filling a run from a checkpoint: settings first, then the live objects, then its own place."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ckptkit.errors import CkptkitError
from ckptkit.report.values import LoadReport
from ckptkit.run.asked import changed_fields, winning_fields
from ckptkit.run.by_hand import (
    best_in,
    columns_until,
    epochs_by_history,
    history_beside,
    steps_counted,
)
from ckptkit.run.history import Event, History, read_history
from ckptkit.run.mark import Mark
from ckptkit.run.metrics import Best
from ckptkit.run.sections import (
    OWN,
    clear_gradients,
    put_gradients,
    ranks_without_streams,
    read_mark,
    read_section,
)
from ckptkit.run.settings import ABSENT, Change, Policy, compare_settings, require_architecture
from ckptkit.verbs.open import Checkpoint, load
from ckptkit.verbs.restore import restore


class Stored(NamedTuple):
    """What a checkpoint says of the run, apart from the live objects."""

    mark: Mark
    history: Any
    metrics: Mapping[str, Any]
    config: Mapping[str, Any]
    asked: Mapping[str, Any]
    trackers: Mapping[str, Any]
    probe: Any
    gradients: Any
    ours: bool  # a run has written it
    sections: frozenset[str] = frozenset()  # all that it holds
    afresh: tuple[int, ...] = ()  # of the processes here those whose streams it lacks


class Resumed(NamedTuple):
    """What a resume did, for the run to tell."""

    report: LoadReport
    changes: list[Change]
    notes: list[str]


def read_stored(path: Path, rank: int = 0, world: int = 1) -> Stored:
    """Read everything of a run that is no live object. Raises: as ``load``; MismatchError."""
    with load(path) as checkpoint:
        config = read_section(checkpoint, "config")
        config = config if isinstance(config, Mapping) else {}
        own = "settings" in config and "asked" in config
        metrics = read_section(checkpoint, "metrics")
        trackers = read_section(checkpoint, "trackers")
        mark, history = read_mark(checkpoint, rank), read_section(checkpoint, "history")
        if not own:
            mark, history = _with_what_lies_beside(path, checkpoint, mark, history)
        return Stored(
            mark=mark, history=history,
            metrics=metrics if isinstance(metrics, Mapping) else {},
            config=config["settings"] if own else config,
            asked=config["asked"] if own else {},
            trackers=trackers if isinstance(trackers, Mapping) else {},
            probe=read_section(checkpoint, "probe"),
            gradients=read_section(checkpoint, "gradients"),
            ours=own,
            sections=frozenset(checkpoint.document),
            afresh=ranks_without_streams(checkpoint, world),
        )  # fmt: skip


def _with_what_lies_beside(
    path: Path, checkpoint: Checkpoint, mark: Mark, history: Any
) -> tuple[Mark, Any]:
    """Complete what another program's file says by its optimizer's count and its history file."""
    beside = None if history is not None else history_beside(path)
    epochs, steps = mark.epochs, mark.steps or steps_counted(checkpoint.document)
    if not epochs:
        progress = read_section(checkpoint, "progress")
        epochs = epochs_by_history(progress if isinstance(progress, Mapping) else {}, beside)
    if beside is not None:
        history = columns_until(beside, epochs)
    return replace(mark, epochs=epochs, steps=steps), history


def fill(
    path: Path, stored: Stored, state: Mapping[str, Any], *, settings: Mapping[str, Any],
    asked: Mapping[str, Any], policies: Mapping[str, Policy], force: bool,
    options: Mapping[str, Any],
) -> Resumed:  # fmt: skip
    """Refuse a changed architecture, then restore. Raises: SettingConflictError; as ``restore``."""
    changes = compare_settings(settings, stored.config, policies)
    require_architecture(changes, path, force=force)
    known = {c.name.rpartition(".")[2] for c in changes if c.saved is not ABSENT}
    changed = changed_fields(asked, stored.asked) | known
    given = dict(options)
    given.setdefault("on_conflict", winning_fields(changed))
    given["allow_missing"] = _allowed(given.get("allow_missing", ()), state, stored)
    report = restore(path, state, mode="resume", **given)
    notes = []
    clear_gradients(state)
    if isinstance(stored.gradients, Mapping):
        notes += [f"a waiting gradient has no parameter here: {name}" for name in
                  put_gradients(state, stored.gradients)]  # fmt: skip
    if stored.mark.rng is None:
        notes.append("it has no random streams: they go on as the script seeded them")
    elif stored.afresh:
        told = ", ".join(map(str, stored.afresh))
        notes.append(
            f"it has no random streams of process {told}: they go on as the script seeded them"
        )
    if not (stored.ours or stored.mark.epochs or stored.mark.steps):
        notes.append("it does not say how far training was: counting begins at 0")
    left = tuple((name, why) for name, why in report.left if name not in OWN)
    if not stored.config and settings:
        changes = []
        notes.append("it has no settings: those that are asked for count, and its optimizer's own")
    return Resumed(replace(report, left=left), changes, notes)


def _allowed(asked: Any, state: Mapping[str, Any], stored: Stored) -> bool | tuple[str, ...]:
    """What may be missing: what was asked for, and what a resume allows anyway."""
    if isinstance(asked, bool):
        return asked or _may_begin_afresh(state, stored)
    asked = (asked,) if isinstance(asked, str) else tuple(asked)
    return (*asked, *_may_begin_afresh(state, stored))


def _may_begin_afresh(state: Mapping[str, Any], stored: Stored) -> tuple[str, ...]:
    """Parts that a checkpoint lacks and may lack: a scaler, because precision is free to change.

    An average, too: one that has counted nothing begins at the weights of the next step. A file
    of another program may lack everything but weights: many keep no more.
    """
    free = (torch.amp.GradScaler, torch.optim.swa_utils.AveragedModel)
    return tuple(
        name
        for name, value in state.items()
        if name not in stored.sections
        and (isinstance(value, free) or not (stored.ours or isinstance(value, torch.nn.Module)))
    )


def history_from(stored: Stored, path: Path) -> tuple[History, list[str]]:
    """The history that a checkpoint holds, with the resume noted in it.

    One that is no history is left out, and said: a new one begins, the old file is kept.
    """
    history, notes = History(), []
    if isinstance(stored.history, Mapping):
        try:
            history.restore(stored.history)
        except (ValueError, TypeError) as exc:
            history = History()
            notes.append(f"its history cannot be read ({exc}): a new one begins")
    mark = stored.mark
    now = max(time.time(), _last_time_s(path) + _TICK_S)
    event = Event("resumed", mark.epochs, mark.steps, now, path.name)
    history.events.append(event)
    return history, notes


_TICK_S = 1e-3  # what makes one resume later than another, where the clock went back between them


def _last_time_s(path: Path) -> float:
    """When the run that a checkpoint lies in was last heard of: lines are told apart by it."""
    try:
        events = read_history(path.absolute().parent.parent).events
    except (CkptkitError, OSError):
        return 0.0
    return max((event.time_s for event in events), default=0.0)


def best_from(best: Best | None, stored: Stored) -> Best | None:
    """The best so far of the metric that is watched now: as it was noted, or by the history."""
    if best is None:
        return None
    told = stored.metrics.get("best")
    known = best.from_tree(told) if isinstance(told, Mapping) else best
    if known.value is None and isinstance(stored.history, Mapping):
        known = best.from_tree(best_in(stored.history, best.name, best.mode) or {})
    return known


def other_metric(best: Best | None, stored: Stored) -> str:
    """Say that another metric, or its other end, is watched now; "" where it is the same.

    ``best``: as ``best_from`` gives it.
    """
    told = stored.metrics.get("best")
    if best is None or not isinstance(told, Mapping) or told.get("value") is None:
        return ""
    name, mode = told.get("name") or best.name, told.get("mode") or best.mode
    if (name, mode) == (best.name, best.mode):
        return ""
    so_far = "of which nothing is known yet"
    if best.value is not None:
        so_far = f"whose best so far is {best.value:.6g} (epoch {best.epoch}, step {best.step})"
    return (
        f"{name} ({mode}) was watched before, now it is {best.name} ({best.mode}), "
        f"{so_far}: what was the best until now is kept as retention says, or if it is pinned"
    )
