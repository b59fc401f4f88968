"""``plugins`` for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ckptkit.cli.human import count_text
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import lines, table, text
from ckptkit.hooks.manager import PluginRow

_STATES = {"builtin": "dim", "loaded": "green", "failed": "bold red", "disabled": "yellow"}


def render(rows: Sequence[PluginRow], trainers: Sequence[Mapping[str, Any]]) -> Iterator[Any]:
    """Yield the table of plugins, the one of trainers, and the count."""
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
    if trainers:
        yield ""
        yield table(
            ("trainer", "what it does", "commands", "settings", "state"),
            [
                (
                    safe(one["name"]), safe(one["title"]),
                    ", ".join(["train", "resume", *map(safe, one["actions"])]),
                    str(one["settings"]), _readiness(one),
                )
                for one in trainers
            ],
            numbers=("settings",),
        )  # fmt: skip
    yield ""
    failed = sum(row.state == "failed" for row in rows)
    yield text(f"  {count_text(len(rows), 'plugin')}" + (f", {failed} failed" if failed else ""))


def _readiness(trainer: Mapping[str, Any]) -> Any:
    if trainer["error"]:
        return text((safe(trainer["error"]), "red"))
    if not trainer["missing"]:
        return text(("ready", "green"))
    missing = ", ".join(trainer["missing"])
    way = f": pip install '{trainer['install']}'" if trainer["install"] else ""
    return text((safe(f"needs {missing}{way}"), "yellow"))


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
