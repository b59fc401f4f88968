"""What a run of another program says of itself beside the keys that say it; imports no torch."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ckptkit.nodes import MapNode, Node, TensorNode
from ckptkit.run.columns import as_float, history_of
from ckptkit.run.experiment import CHECKPOINTS
from ckptkit.run.history import FILE_NAME, History
from ckptkit.verbs.lazy_tensor import LazyTensor

_FORMATS = {"float32": "<f", "float64": "<d", "int64": "<q", "int32": "<i"}  # of a counter


def steps_counted(document: MapNode) -> int:
    """How often the optimizer has stepped by its own count; 0 where it keeps none.

    Raises: ContainerError if a counter's bytes are damaged.
    """
    optimizer = document.get("optimizer")
    state = optimizer.get("state") if isinstance(optimizer, MapNode) else None
    members = [one for _, one in state.items()] if isinstance(state, MapNode) else []
    return max(_counts(members), default=0)


def _counts(members: list[Node]) -> Iterator[int]:
    for member in members:
        node = member.get("step") if isinstance(member, MapNode) else None
        if type(node) is int:
            yield node
        elif isinstance(node, TensorNode) and math.prod(node.shape) == 1:
            data, form = LazyTensor((), node).read(), _FORMATS.get(node.dtype.name)
            if form is not None and len(data) == struct.calcsize(form):
                value = as_float(struct.unpack(form, data)[0])
                yield int(value) if math.isfinite(value) else 0


def history_beside(path: Path) -> History | None:
    """The history file of the run folder in which a checkpoint lies; None if there is none."""
    if path.parent.name != CHECKPOINTS:
        return None
    try:
        return history_of(json.loads((path.parent.parent / FILE_NAME).read_bytes()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def epochs_by_history(progress: Mapping[str, Any], history: History | None) -> int:
    """Completed epochs of a checkpoint that does not say whether its epoch was finished.

    Where the history has a row for each epoch up to that one, or up to the one before, it was, or
    was not; 0 where nothing proves it.
    """
    stored = progress.get("as_stored")
    epoch = stored.get("epoch") if isinstance(stored, Mapping) else None
    n_rows = 0 if history is None else len(history)
    return n_rows if type(epoch) is int and epoch - n_rows in (0, 1) else 0


def columns_until(history: History, epochs: int) -> dict[str, list[Any]]:
    """The rows of completed epochs, as columns."""
    columns = history.columns()
    kept = [row for row, epoch in enumerate(columns["epoch"]) if as_float(epoch) <= epochs]
    return {name: [column[row] for row in kept] for name, column in columns.items()}


def best_in(columns: Mapping[str, Any], name: str, mode: str) -> dict[str, Any] | None:
    """The best value of a column and where it was, as ``metrics.best`` tells it."""
    column = columns.get(name)
    told = [as_float(value) for value in column] if isinstance(column, (list, tuple)) else []
    rows = [row for row, value in enumerate(told) if math.isfinite(value)]
    if not rows:
        return None
    row = (min if mode == "min" else max)(rows, key=told.__getitem__)
    place = {key: columns[key][row] for key in ("epoch", "step") if key in columns}
    return {"name": name, "mode": mode, "value": told[row], **place}
