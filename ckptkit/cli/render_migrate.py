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
from ckptkit.report.collapse import collapse
from ckptkit.tree.paths import path_text

_MAX_TARGETS = 3  # names that a family went to
_FEW = 3  # so many names of one family are told one by one
_METADATA = "/._metadata/"
_NUMBER = re.compile(r"[0-9]+")
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
    rows = [_moved(row) for row in exact]
    derived = [] if every else [_moved(row) for row in report.placed if row.derived]
    shown = summarise_moves(rows, every=every)
    if not every:
        shown = [*_families(shown, _FEW), *_families(_without_versions(derived), 1)]
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
            for row in shown
        ],
        numbers=("leaves", "bytes"),
    )


def _moved(row: Any) -> Moved:
    target = "nowhere" if row.target is None else path_text(row.target)
    return Moved(path_text(row.source), target, 1, row.nbytes, row.note)


def _without_versions(rows: list[Moved]) -> list[Moved]:
    """The versions of modules, which torch keeps as an attribute, in one row a section."""
    told: dict[object, Moved] = {}
    for number, row in enumerate(rows):
        head, sign, _ = row.source.partition(_METADATA)
        if not sign:
            told[number] = row
            continue
        key, place = (head, row.note), f"{head}{_METADATA}*"
        before = told.get(key, Moved(place, place, 0, 0, row.note))
        told[key] = before._replace(leaves=before.leaves + 1, nbytes=before.nbytes + row.nbytes)
    return list(told.values())


def _families(rows: list[Moved], most: int) -> list[Moved]:
    """Rows of more than ``most`` names that differ in their indices only become one; in order."""
    told: list[tuple[int, Moved]] = [(i, row) for i, row in enumerate(rows) if row.leaves > 1]
    alone = [(i, row) for i, row in enumerate(rows) if row.leaves == 1]
    kinds = [(_NUMBER.sub("", row.target), row.note) for _, row in alone]
    for group in collapse([row.source for _, row in alone], kinds):
        members = [alone[number] for number in group.members]
        if len(members) <= most:
            told += members
            continue
        first = members[0]
        into = collapse(list(dict.fromkeys(row.target for _, row in members)))
        shown = ", ".join(one.pattern for one in into[:_MAX_TARGETS])
        shown += ", ..." if len(into) > _MAX_TARGETS else ""
        nbytes = sum(row.nbytes for _, row in members)
        told.append((first[0], Moved(group.pattern, shown, group.size, nbytes, first[1].note)))
    return [row for _, row in sorted(told, key=lambda pair: pair[0])]


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
