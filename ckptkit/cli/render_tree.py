"""A tree as an indented outline; neighbours that differ in their index alone share a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from ckptkit.cli.collapse import collapse
from ckptkit.cli.screen import text
from ckptkit.verbs.outline import OutlineRow

_FEW = 8


def render_tree(rows: Sequence[OutlineRow], *, every: bool) -> Iterator[Any]:
    """Yield one text a line."""
    for row, count in _collapsed(rows, every=every):
        style = "bold" if row.kind in ("mapping", "record") else ""
        yield text(
            "  " * (row.depth + 1), (row.name, style), "  ", (row.text, "dim"),
            (f"  {count:,} times" if count > 1 else "", "dim"),
        )  # fmt: skip


def _collapsed(rows: Sequence[OutlineRow], *, every: bool) -> Iterator[tuple[OutlineRow, int]]:
    """Join runs of leaves at one depth; whatever has children stays as it is."""
    marked = [
        (row, position + 1 < len(rows) and rows[position + 1].depth > row.depth)
        for position, row in enumerate(rows)
    ]
    for (_, has_children), run in groupby(marked, key=lambda pair: (pair[0].depth, pair[1])):
        members = [row for row, _ in run]
        if every or has_children or len(members) <= _FEW:
            yield from ((row, 1) for row in members)
            continue
        kinds = [row.kind if "[" in row.kind else (row.kind, row.text) for row in members]
        for group in collapse([row.name for row in members], kinds):
            yield members[group.members[0]]._replace(name=group.pattern), group.size
