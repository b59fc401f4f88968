"""Histories as people keep them, brought into columns of one length each. Pure.

Five hand-made systems had five forms: flat columns, columns below ``train`` and ``val``, a list of
rows, a column of rows. All become ``name -> values``; names below others are joined with ``_``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ckptkit.run.history import EVENTS, Event, History

_MAX_DEPTH = 8  # of mappings in each other
_TEXTS = ("nan", "inf", "-inf")  # what write_history puts for numbers that JSON lacks


def history_of(tree: Any) -> History:
    """Make a history of what a file or a checkpoint holds. Raises: ValueError if it is none."""
    columns = flat_columns(tree)
    history = History()
    told = tree.get(EVENTS) if isinstance(tree, Mapping) else None
    history.restore({**columns, EVENTS: [list(event) for event in _events(told)]})
    return history


def flat_columns(tree: Any) -> dict[str, list[Any]]:
    """Return name -> values. Raises: ValueError if there is not a single column in it."""
    columns: dict[str, list[Any]] = {}
    if isinstance(tree, (list, tuple)) and tree:
        columns = _of_rows(tree)
    elif isinstance(tree, Mapping):
        _collect(tree, "", columns, _MAX_DEPTH)
    if not columns and tree not in ({}, []) and not _only_events(tree):
        raise ValueError("nothing in it is a list of numbers")
    return columns


def as_float(value: Any) -> float:
    """Return a number as a float; NaN for everything that is none, such as a gap."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return math.nan
    if isinstance(value, str) and value not in _TEXTS:
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer beyond every float
        return math.inf if isinstance(value, int) and value > 0 else -math.inf


def _collect(tree: Mapping[Any, Any], above: str, into: dict[str, list[Any]], depth: int) -> None:
    for key, value in tree.items():
        name = f"{above}_{key}" if above else str(key)
        if name == EVENTS:
            continue
        if isinstance(value, Mapping) and depth:
            _collect(value, name, into, depth - 1)
        elif isinstance(value, (list, tuple)):
            rows = _of_rows(value)
            if rows:
                into.update({k: v for k, v in rows.items() if k not in into})
            else:
                into[name] = [_plain(one) for one in value]


def _of_rows(values: list[Any] | tuple[Any, ...]) -> dict[str, list[Any]]:
    """Columns of a list of mappings; nothing of any other list."""
    rows = [one if isinstance(one, Mapping) else {} for one in values]
    names = dict.fromkeys(str(name) for row in rows for name in row)
    by_text = [{str(name): value for name, value in row.items()} for row in rows]
    return {name: [_plain(row.get(name)) for row in by_text] for name in names}


def _plain(value: Any) -> Any:
    return as_float(value) if isinstance(value, str) and value in _TEXTS else value


def _events(told: Any) -> list[Event]:
    """Events in either of their forms; what is none is left out."""
    found = []
    for one in told if isinstance(told, (list, tuple)) else ():
        if isinstance(one, Mapping):
            fields = [one.get(name, 0) for name in Event._fields]
        else:
            fields = list(one) if isinstance(one, (list, tuple)) else []
        if len(fields) < 3 or not isinstance(fields[0], str):
            continue
        epoch, step = as_float(fields[1]), as_float(fields[2])
        when = as_float(fields[3]) if len(fields) > 3 else 0.0
        detail = fields[4] if len(fields) > 4 and isinstance(fields[4], str) else ""
        if math.isfinite(epoch) and math.isfinite(step):
            when = when if math.isfinite(when) else 0.0
            found.append(Event(fields[0], int(epoch), int(step), when, detail))
    return found


def _only_events(tree: Any) -> bool:
    return isinstance(tree, Mapping) and set(tree) <= {EVENTS, "epoch", "step"}
