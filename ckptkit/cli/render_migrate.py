"""``migrate`` for people: where every key went, and the proof."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ckptkit.cli.failures import of_error
from ckptkit.cli.human import count_text, size_text
from ckptkit.cli.moved import Moved, summarise_moves
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe
from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.tree.paths import path_text

_MAX_TARGETS = 3  # names that a family went to
_MAX_LEFT = 20  # entries of a source that are shown as staying


def render(report: Any, *, every: bool) -> Iterator[Any]:
    """Yield what is printed of one migration."""
    yield text((safe(report.source), "bold"), "  to  ", (safe(report.target), "bold"))
    yield ""
    yield _moves(report, every=every)
    yield ""
    yield facts(_facts(report))


def render_tree(report: Any) -> Iterator[Any]:
    """Yield a line a checkpoint."""
    rows: list[tuple[Any, ...]] = [
        (safe(one.source), safe(one.target), one.dialect, _nbytes(one), text(_outcome(one)))
        for one in report.reports
    ]
    rows += [
        (safe(path), "", "", "", text(("passed over", "dim"), f": {_advised(reason)}"))
        for path, reason in report.skipped
    ]
    rows += [
        (safe(path), "", "", "", text(("failed", "bold red"), f": {_told(error)}"))
        for path, error in report.failures
    ]
    yield table(("checkpoint", "to", "dialect", "bytes", "outcome"), rows, numbers=("bytes",))
    yield ""
    failed = f", {len(report.failures):,} failed" if report.failures else ""
    would = "would be " if any(one.dry_run for one in report.reports) else ""
    yield text(f"  {count_text(len(report.reports), 'checkpoint')} {would}migrated{failed}")


def _moves(report: Any, *, every: bool) -> Any:
    exact = [row for row in report.placed if every or not row.derived]
    rows = [
        Moved(
            path_text(row.source),
            "nowhere" if row.target is None else path_text(row.target),
            1,
            row.nbytes,
            row.note,
        )
        for row in exact
    ]
    derived = [] if every else _derived([row for row in report.placed if row.derived])
    told = " ".join(notice.message for notice in report.notices)  # once is enough
    return table(
        ("key", "leaves", "bytes", "went to", "note"),
        [
            (
                row.source,
                f"{row.leaves:,}" if row.leaves > 1 else "",
                size_text(row.nbytes) if row.nbytes else "",
                row.target,
                "" if row.note in told else safe(row.note),
            )
            for row in (*summarise_moves(rows, every=every), *derived)
        ],
        numbers=("leaves", "bytes"),
    )


def _derived(rows: list[Any]) -> list[Moved]:
    """Leaves of which operations made others: those of one family in one line."""
    from ckptkit.report.collapse import collapse

    targets = ["nowhere" if row.target is None else path_text(row.target) for row in rows]
    kinds = [
        (re.sub(r"[0-9]+", "", target), row.note) for target, row in zip(targets, rows, strict=True)
    ]
    told = []
    for group in collapse([path_text(row.source) for row in rows], kinds):
        members = [rows[number] for number in group.members]
        into = collapse(list(dict.fromkeys(targets[number] for number in group.members)))
        shown = ", ".join(one.pattern for one in into[:_MAX_TARGETS])
        shown += ", ..." if len(into) > _MAX_TARGETS else ""
        nbytes = sum(row.nbytes for row in members)
        told.append(Moved(group.pattern, shown, group.size, nbytes, members[0].note))
    return told


def _advised(reason: str) -> str:
    """The reason of a verb, which knows no options, with the option to use."""
    return reason.replace("ask to replace it to write it anew", "--replace writes it anew")


def _nbytes(report: Any) -> str:
    return size_text(report.sealing.tensor_nbytes)


def _told(error: Any) -> str:
    return of_error(error).paragraph.removeprefix("error: ")


def _facts(report: Any) -> Iterator[tuple[str, Any]]:
    yield "dialect", text(safe(report.dialect), ("  " + safe("; ".join(report.evidence)), "dim"))
    yield (
        "schema",
        lines(
            [
                f"{report.from_version} to {report.to_version}",
                *(safe(step) for step in report.steps),
            ]
        ),
    )
    yield "notes", notice_lines(report.notices)
    nbytes = _nbytes(report)
    leaves = count_text(len(report.placed), "leaf").replace("leafs", "leaves")
    if report.dry_run:
        yield "dry run", f"{leaves} ({nbytes} of tensors) would be written; nothing was"
    elif report.proved:
        tensors = count_text(report.sealing.tensors, "tensor")
        told = f"{tensors} ({nbytes}) read back equal, {leaves} in place"
        yield "proved", text((told, "green"))
    if report.source_removed:
        yield "source", "removed"
    elif report.left_behind:
        left = [safe(one) for one in report.left_behind[:_MAX_LEFT]]
        more = len(report.left_behind) - len(left)
        yield "stays", lines([*left, f"and {more:,} more"] if more else left)


def _outcome(report: Any) -> tuple[str, str]:
    if report.dry_run:
        return "would be migrated", "yellow"
    if report.left_behind:
        return "proved; not all of the source was removed", "yellow"
    return ("proved", "green") if report.proved else ("migrated", "yellow")
