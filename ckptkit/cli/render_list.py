"""``list`` for people: one line a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any

from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, table, text
from ckptkit.nodes import Node
from ckptkit.verbs.listing import Listing, ListRow
from ckptkit.verbs.outline import describe
from ckptkit.verbs.shared_files import shared_nbytes

_STATES = {"whole": "green", "damaged": "bold red", "leftover": "yellow", "recovered": "yellow"}


def render(listing: Listing, rows: Sequence[ListRow]) -> Iterator[Any]:
    """Yield the table and a line that sums it up."""
    yield table(
        ("checkpoint", "epoch", "step", "size", "modified", "kind", "whole"),
        [
            (
                safe(_short(row.path, listing.root)),
                _epoch(row),
                _step(row),
                size_text(row.nbytes),
                _when(row.modified_s),
                _kind(row),
                _state(row),
            )
            for row in rows
        ],
        numbers=("epoch", "step", "size"),
        optional=("kind",),
        has_paths=True,
    )
    yield ""
    for line in _summary(listing, rows):
        yield text("  " + line)
    bad = [row for row in (*rows, *listing.others) if row.reason]
    if bad:
        yield ""
        yield facts((safe(_short(row.path, listing.root)), safe(row.reason)) for row in bad)
    if any(row.state in ("damaged", "leftover") for row in rows):
        yield ""
        yield text("  ckptkit recover SOURCE DST saves what is still whole of one")


def _short(path: FilePath, root: FilePath) -> str:
    return str(path.relative_to(root)) if path != root else str(path.name or path)


def _epoch(row: ListRow) -> str:
    """Epochs completed; with "?" the number in a file that does not tell what it counts."""
    return _known_or_stored(row.epochs_completed, row.stored_epoch)


def _step(row: ListRow) -> str:
    return _known_or_stored(row.optimizer_steps, row.stored_step)


def _known_or_stored(known: Node, stored: Node) -> str:
    return f"{_count(stored)}?" if known is None and stored is not None else _count(known)


def _count(value: Node) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1 << 64 else describe(value)[1]


def _when(modified_s: float) -> str:
    if not modified_s:
        return "-"
    return datetime.fromtimestamp(modified_s).astimezone().strftime("%Y-%m-%d %H:%M")


def _kind(row: ListRow) -> str:
    if row.schema_version == 2 and not row.dialect:
        return "sealed"
    return ", ".join(filter(None, (row.dialect, row.container))) or "-"


def _state(row: ListRow) -> Any:
    style = _STATES.get(row.state, "")
    word = {"whole": "yes", "damaged": "no", "leftover": "no", "recovered": "in part"}[row.state]
    return text((word, style))


def _summary(listing: Listing, rows: Sequence[ListRow]) -> list[str]:
    shared = shared_nbytes(row.path for row in rows)
    size = size_text(sum(row.nbytes for row in rows) - shared) + (" on disk" if shared else "")
    parts = [count_text(len(rows), "checkpoint"), size]
    damaged = sum(row.state == "damaged" for row in rows)
    leftover = sum(row.state == "leftover" for row in rows)
    if damaged:
        parts.append(f"{damaged:,} not whole")
    if leftover:
        parts.append(count_text(leftover, "unfinished save"))
    told = [", ".join(parts)]
    if shared:
        told.append("second names share their files, which are counted once")
    if listing.others:
        told.append(f"not a checkpoint: {count_text(len(listing.others), 'file')}, named below")
    if listing.temporary:
        told.append(f"passed over: {count_text(listing.temporary, 'temporary file')} (._*)")
    if listing.too_deep:
        told.append(f"not looked into: {count_text(listing.too_deep, 'folder')} (--depth)")
    if any(_epoch(row).endswith("?") for row in rows):
        told.append("?: the file does not tell whether this epoch is finished or the next one")
    if any(_step(row).endswith("?") for row in rows):
        told.append("?: the file does not tell whether this step was done or comes next")
    return told
