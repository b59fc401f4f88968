"""What the checkpoints of a run remember of it, read as plain values: no torch, no tensor bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ckptkit.errors import CkptkitError
from ckptkit.run.choose import Found
from ckptkit.run.columns import as_float, history_of
from ckptkit.run.history import FILE_NAME, History
from ckptkit.verbs.open import load

# Names under which scripts keep what they choose their best model by.
_WATCHED = ("val_loss", "valid_loss", "validation_loss", "val/loss", "eval_loss", "test_loss")


class BestRow(NamedTuple):
    """The best value of the watched metric and where it was reached; 0 where nothing tells."""

    name: str
    mode: str
    value: float
    epoch: int
    step: int


class Reader:
    """Reads sections of checkpoints, newest first; what cannot be read is a note, said once."""

    def __init__(self, found: Sequence[Found]) -> None:
        self.found = found
        self.notes: list[str] = []

    def sections(self, name: str) -> Iterator[tuple[Found, Any]]:
        """Yield the section of every checkpoint that has it, as plain values.

        Tensors in it stay nodes: nobody needs them here.
        """
        from ckptkit.tree import to_python

        for one in self.found:
            try:
                with load(one.path) as checkpoint:
                    node = checkpoint.document.get(name)
                    value = None if node is None else to_python(node)
            except CkptkitError as exc:
                self.note(f"{one.path.name}: {exc.seen}")
                continue
            if value is not None:
                yield one, value

    def note(self, text: str) -> None:
        """Remember what a person should know."""
        if text not in self.notes:
            self.notes.append(text)


def history_in(folder: Path, reader: Reader) -> History:
    """The run's history: its file, or what the newest checkpoint remembers, or its metrics."""
    path = folder / FILE_NAME
    try:
        history = history_of(json.loads(path.read_bytes()))
    except FileNotFoundError:
        history = None
    except (OSError, ValueError, TypeError, RecursionError) as exc:
        reader.note(f"{FILE_NAME} cannot be read: {exc!s:.80}")
        history = None
    if history is not None:
        return history
    for one, tree in reader.sections("history"):
        try:
            history = history_of(tree)
        except (ValueError, TypeError) as exc:
            reader.note(f"the history in {one.path.name} cannot be read: {exc!s:.80}")
            continue
        if len(history) or history.events:
            reader.note(f"no history file: this is what {one.path.name} remembers")
            return history
    return _of_metrics(reader)


def _of_metrics(reader: Reader) -> History:
    """One row for each checkpoint: what was measured when it was saved."""
    history = History()
    told = [(one, _numbers(tree)) for one, tree in reader.sections("metrics")]
    for one, values in sorted(told, key=lambda pair: (pair[0].epochs, pair[0].steps)):
        latest = {k.removeprefix("latest_"): v for k, v in values.items() if k.startswith("latest")}
        if latest:
            history.add(one.epochs, one.steps, latest)
    if len(history):
        reader.note("no history: these are the metrics with which each checkpoint was saved")
    return history


def _numbers(tree: Any, above: str = "", depth: int = 3) -> dict[str, float]:
    """Numbers by name, nested ones joined with ``_``."""
    found: dict[str, float] = {}
    for key, value in tree.items() if isinstance(tree, Mapping) else ():
        name = f"{above}_{key}" if above else str(key)
        if isinstance(value, Mapping) and depth:
            found |= _numbers(value, name, depth - 1)
        elif not math.isnan(as_float(value)):
            found[name] = as_float(value)
    return found


def watched(reader: Reader) -> tuple[str, str] | None:
    """The name of the metric that the run watches and its mode, whether or not it has a best."""
    for _, metrics in reader.sections("metrics"):
        best = metrics.get("best") if isinstance(metrics, Mapping) else None
        name = best.get("name") if isinstance(best, Mapping) else None
        if isinstance(best, Mapping) and isinstance(name, str):
            return name, "max" if best.get("mode") == "max" else "min"
    return None


def best_of(reader: Reader, history: Mapping[str, Sequence[Any]]) -> BestRow | None:
    """What the newest checkpoint says was best; else the lowest validation loss of the history."""
    for _, metrics in reader.sections("metrics"):
        best = metrics.get("best") if isinstance(metrics, Mapping) else None
        value = as_float(best.get("value")) if isinstance(best, Mapping) else math.nan
        if isinstance(best, Mapping) and math.isfinite(value):
            name, mode = str(best.get("name") or "value"), str(best.get("mode") or "min")
            row = BestRow(name, mode, value, _place(best.get("epoch")), _place(best.get("step")))
            return row if row.epoch or row.step else _where(row, history)
    watched = next((name for name in _WATCHED if name in history), "")
    finite = [v for v in map(as_float, history.get(watched, ())) if math.isfinite(v)]
    return _where(BestRow(watched, "min", min(finite), 0, 0), history) if finite else None


def _where(best: BestRow, history: Mapping[str, Sequence[Any]]) -> BestRow:
    """Find the first row that has this value, but for what a float loses in text."""
    for row, value in enumerate(history.get(best.name, ())):
        if math.isclose(as_float(value), best.value, rel_tol=1e-9):
            epoch, step = _place(history["epoch"][row]), _place(history["step"][row])
            return best._replace(epoch=epoch, step=step)
    return best


def _place(value: Any) -> int:
    number = as_float(value)
    return int(number) if math.isfinite(number) else 0
