"""The record of a run: one row for each epoch (or each logged step), one column for each metric.

It travels in every checkpoint, so a resumed run goes on from exactly the rows that it had there;
``history.json`` beside the checkpoints is a copy for people and notebooks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.errors import CorruptFileError
from ckptkit.run.json_file import write_json

FILE_NAME = "history.json"
EVENTS = "events"  # a key of the file that is no column
_PLACE = ("epoch", "step")
OWN_NAMES = (*_PLACE, EVENTS)  # which no metric can have


class Event(NamedTuple):
    """Something that happened at a place of the run: "resumed", "best", "interrupted", ...

    ``time_s`` is Unix time, ``detail`` for people.
    """

    kind: str
    epoch: int
    step: int
    time_s: float = 0.0
    detail: str = ""


class History:
    """Rows in order of (epoch, step); both only grow."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self.events: list[Event] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Record values at a place; a second call for the same place joins its row."""
        last = self._rows[-1] if self._rows else None
        if last is None or (last["epoch"], last["step"]) != (epoch, step):
            last = {"epoch": epoch, "step": step}
            self._rows.append(last)
        last.update(values)

    def complete(self, epoch: int, step: int, values: Mapping[str, float]) -> bool:
        """Record at a place what its row does not have; say whether there was anything."""
        last = self._rows[-1] if self._rows else {}
        there = last if (last.get("epoch"), last.get("step")) == (epoch, step) else {}
        missing = {name: value for name, value in values.items() if name not in there}
        if missing:
            self.add(epoch, step, missing)
        return bool(missing)

    def columns(self) -> dict[str, list[Any]]:
        """Return name -> values, all equally long; None where a row has no such value."""
        names = [*_PLACE]
        for row in self._rows:
            names += [name for name in row if name not in names]
        return {name: [row.get(name) for row in self._rows] for name in names}

    def state(self) -> dict[str, Any]:
        """The section ``history``: columns and events as data."""
        return {**self.columns(), EVENTS: [list(event) for event in self.events]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a stored history: ours, or the plain columns of an older format.

        Columns without ``epoch`` are numbered from 1. Raises: ValueError, TypeError if they are no
        columns, or hold what is no event.
        """
        columns = {k: list(v) for k, v in state.items() if k != EVENTS and _is_column(v)}
        n_rows = max((len(column) for column in columns.values()), default=0)
        if any(k not in columns and k != EVENTS for k in state):
            raise ValueError("a column that is no list")
        columns.setdefault("epoch", list(range(1, n_rows + 1)))
        columns.setdefault("step", [0] * n_rows)
        self._rows = [_row(columns, number) for number in range(n_rows)]
        self.events = [_event(*event) for event in state.get(EVENTS, [])]


def _row(columns: Mapping[str, list[Any]], number: int) -> dict[str, Any]:
    """What the columns hold for one row; shorter columns and gaps hold nothing."""
    found = {name: column[number] for name, column in columns.items() if number < len(column)}
    return {name: value for name, value in found.items() if value is not None}


def _event(*fields: Any) -> Event:
    event = Event(*fields)
    if not all(isinstance(number, (int, float)) for number in event[1:4]):
        raise TypeError("an event whose place or time is no number")
    return event


def _is_column(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def history_data(history: History) -> dict[str, Any]:
    """A history as JSON holds it; NaN and infinities become text."""
    columns = history.columns().items()
    data: dict[str, Any] = {name: [_plain(value) for value in column] for name, column in columns}
    data[EVENTS] = [event._asdict() for event in history.events]
    return data


def write_history(folder: Path, data: Mapping[str, Any]) -> None:
    """Write ``history.json`` as a whole or not at all. Raises: StorageError."""
    write_json(folder / FILE_NAME, data)


def read_history(folder: Path) -> History:
    """Read ``history.json``. Raises: CorruptFileError if it is none; FileNotFoundError."""
    path = folder / FILE_NAME
    history = History()
    try:
        data = json.loads(path.read_bytes())
        events = [list(Event(**event)) for event in data.pop(EVENTS, [])]
        columns = {name: [_number(value) for value in column] for name, column in data.items()}
        history.restore(columns | {EVENTS: events})
    except (ValueError, TypeError, AttributeError) as exc:
        raise CorruptFileError(
            path, f"is no history ({exc!s:.80})", "columns of equal length",
            "it is rewritten from the checkpoint when the run goes on",
        ) from exc  # fmt: skip
    return history


def _plain(value: Any) -> Any:
    """JSON has no NaN: text stands for it, and ``float()`` takes that text back."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value in ("nan", "inf", "-inf") else value
