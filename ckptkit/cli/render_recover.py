"""``recover`` for people: what was saved, what is gone and why, what is not certain."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, lines, table, text

_MAX_ROWS = 40  # of lost tensors; --every and --json have all
_NUMBER = re.compile(r"\d+")


def render(report: Any, *, every: bool) -> Iterator[Any]:
    """Yield what is printed of one recovery."""
    yield text((safe(report.source), "bold"), "  to  ", (safe(report.target), "bold"))
    yield ""
    if report.lost:
        yield _lost(report.lost, every=every)
        yield ""
    yield facts(_facts(report))


def _lost(lost: Any, *, every: bool) -> Any:
    rows = [(one.name, _shape(one), one.dtype, one.reason) for one in lost]
    shown = rows if every else rows[:_MAX_ROWS]
    if len(rows) > len(shown):
        shown.append((f"and {len(rows) - len(shown):,} more", "", "", _main_reason(rows)))
    return table(("lost", "shape", "dtype", "reason"), [tuple(map(safe, row)) for row in shown])


def _shape(one: Any) -> str:
    return "" if one.shape is None else "[" + ", ".join(map(str, one.shape)) + "]"


def _main_reason(rows: list[tuple[str, str, str, str]]) -> str:
    """The most frequent kind of reason, its numbers left out."""
    counts: dict[str, int] = {}
    for row in rows[_MAX_ROWS:]:
        kind = _NUMBER.sub("N", row[3])
        counts[kind] = counts.get(kind, 0) + 1
    return f"mostly: {max(counts, key=lambda kind: counts[kind])}"


def _facts(report: Any) -> Iterator[tuple[str, Any]]:
    if report.dialect:
        yield "dialect", safe(report.dialect)
    saved = f"{count_text(report.saved_tensors, 'tensor')} ({size_text(report.saved_nbytes)})"
    if report.dry_run:
        yield "dry run", f"{saved} could be saved; nothing was written"
    else:
        yield "saved", text((f"{saved}, read back equal", "green"))
    if report.lost:
        yield "lost", text((f"{count_text(len(report.lost), 'part')}, named above", "bold red"))
    else:
        yield "lost", text(("nothing", "green"))
    yield "not sure", lines([text((safe(one), "yellow")) for one in report.guessed])
    yield "notes", notice_lines(report.notices)
