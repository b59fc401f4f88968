"""``plugins`` for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ckptkit.cli.human import count_text
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import lines, table, text
from ckptkit.hooks.manager import PluginRow

_STATES = {"builtin": "dim", "loaded": "green", "failed": "bold red", "disabled": "yellow"}


def render(rows: Sequence[PluginRow]) -> Iterator[Any]:
    """Yield the table and the count."""
    yield table(
        ("plugin", "from", "state", "offers"),
        [
            (
                safe(row.name),
                safe(f"{row.distribution} {row.version}".strip()),
                text((row.state, _STATES[row.state])),
                _offers(row),
            )
            for row in rows
        ],
    )
    yield ""
    failed = sum(row.state == "failed" for row in rows)
    yield text(f"  {count_text(len(rows), 'plugin')}" + (f", {failed} failed" if failed else ""))


def _offers(row: PluginRow) -> Any:
    told = []
    if row.error:
        told.append(text((safe(row.error), "red")))
    if row.containers:
        told.append(text(("containers  ", "dim"), safe(", ".join(row.containers))))
    if row.dialects:
        told.append(text(("dialects    ", "dim"), safe(", ".join(row.dialects))))
    if row.migrators:
        told.append(text(("migrators   ", "dim"), safe(", ".join(row.migrators))))
    if row.trainers:
        told.append(text(("trainers    ", "dim"), safe(", ".join(row.trainers))))
    return lines(told) if told else text(("nothing", "dim"))
