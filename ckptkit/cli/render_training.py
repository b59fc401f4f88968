"""``train``, ``resume``, ``sample`` and ``evaluate`` for people, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.run.experiment import Experiment
from ckptkit.run.settings import as_settings
from ckptkit.run.view import open_run
from ckptkit.training.option import options_of
from ckptkit.training.run_it import Deed
from ckptkit.training.start import Start

_COMMANDS = ("resume", "sample", "evaluate")


def plan(start: Start, changes: str) -> Iterator[Any]:
    """Yield what would be trained, with which settings, and from where."""
    yield facts([
        ("trainer", f"{start.trainer.name}, {start.trainer.title}"),
        ("goes on from", _from(start)),
        ("in", str(start.experiment) if start.experiment else f"a new run in {start.folder}"),
    ])  # fmt: skip
    yield ""
    policies = {one.name: one.policy for one in options_of(start.trainer, start.trainer.config)}
    yield table(
        ("setting", "value", "on resume"),
        [
            (name, _shown(value), policies[name] if policies.get(name) == "architecture" else "")
            for name, value in as_settings(start.config).items()
        ],
    )
    for part in (changes.splitlines(), start.notes):
        if part:
            yield ""
            yield lines(part)


def _from(start: Start) -> str:
    stored = start.stored
    if stored is None:
        return "nothing: it begins"
    return f"{stored.path} (epoch {stored.epochs}, step {stored.steps})"


def plan_json(start: Start) -> dict[str, Any]:
    """The plan as one object."""
    stored = start.stored
    return {
        "trainer": start.trainer.name,
        "folder": str(start.experiment or start.folder),
        "is_new": start.experiment is None,
        "checkpoint": None if stored is None else str(stored.path),
        "epochs": 0 if stored is None else stored.epochs,
        "steps": 0 if stored is None else stored.steps,
        "settings": plain_data(as_settings(start.config)),
        "changes": [_change(one) for one in start.changes],
        "notes": list(start.notes),
    }


def _change(change: Any) -> dict[str, Any]:
    return {name: plain_data(value) for name, value in change._asdict().items()}


def outcome(start: Start, experiment: Experiment, *, stopped: bool) -> str:
    """Where a finished training lies, and what to do with it."""
    view = open_run(experiment.folder)
    best = f", best {view.best.name} {view.best.value:.4g}" if view.best else ""
    last = view.checkpoints[0] if view.checkpoints else None
    told = f"epoch {last.epochs}, step {last.steps}{best}" if last else "no checkpoint"
    words = ["resume"] if stopped else [one.name for one in start.trainer.actions]
    words = words if last else []  # there is nothing to look at
    ways = [f"ckptkit {word} {experiment.folder}" for word in words if word in _COMMANDS]
    return "\n".join([f"{experiment.folder}: {told}", *(f"  {way}" for way in ways)])


def outcome_json(start: Start, experiment: Experiment | None) -> dict[str, Any]:
    """The outcome as one object."""
    view = None if experiment is None else open_run(experiment.folder)
    last = view.checkpoints[0] if view and view.checkpoints else None
    return {
        "trainer": start.trainer.name,
        "folder": str(experiment.folder) if experiment else str(start.folder),
        "checkpoint": str(last.path) if last else None,
        "epochs": last.epochs if last else 0,
        "steps": last.steps if last else 0,
        "best": plain_data(view.best._asdict()) if view and view.best else None,
    }


def deed(done: Deed, found: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what an action found."""
    place = f"epoch {done.epochs}, step {done.steps}"
    same = {"epoch": done.epochs, "step": done.steps, "checkpoint": str(done.checkpoint)}
    rest = {
        name: one for name, one in found.items()
        if name not in same or one != same[name]  # else the first line says it
    }  # fmt: skip
    yield facts([("checkpoint", f"{done.checkpoint} ({place})"), *_rows(rest)])
    for name, value in found.items():
        if _is_table(value):
            yield ""
            yield text((name.replace("_", " "), "bold"))
            columns = list(dict.fromkeys(key for row in value for key in row))
            yield table(columns, [[_shown(row.get(key, "")) for key in columns] for row in value])
    for note in done.notes:
        yield f"  {note}"


def _rows(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        label = f"{above}{name}"
        if isinstance(value, Mapping):
            yield from _rows(value, f"{label}.")
        elif not _is_table(value):
            yield label, _shown(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(
        isinstance(row, Mapping) for row in value
    )  # fmt: skip


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return "" if value is None else str(value)


def deed_json(done: Deed, found: Mapping[str, Any]) -> dict[str, Any]:
    """What an action found as one object."""
    return {
        "trainer": done.trainer.name,
        "checkpoint": str(done.checkpoint),
        "epochs": done.epochs,
        "steps": done.steps,
        "results": plain_data(found),
        "notes": list(done.notes),
    }


def plain_data(value: Any) -> Any:
    """What JSON can hold; the rest is told as text."""
    if isinstance(value, Mapping):
        return {str(name): plain_data(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_data(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
