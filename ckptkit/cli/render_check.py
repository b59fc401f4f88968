"""``check`` for people: would it load, how much of it, what is in the way, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ckptkit.cli.option_words import in_options
from ckptkit.cli.screen import facts, lines, table, text
from ckptkit.report.advice import advise
from ckptkit.report.plain_values import value_text
from ckptkit.report.summary import (
    HARMLESS,
    Block,
    blocks_of,
    migrator_titles,
    shown_rows,
    spread,
    verdict,
)
from ckptkit.report.text import counts_text, coverage_text

_MAX_ROWS = 24  # of names, in all components together
_MAX_SETTINGS = 20
_STATUSES = {"refused": "bold red", "absent": "red", "partly": "yellow", "restored": "green"}
_ALL = 1 << 30


def render(report: Any, *, every: bool) -> Iterator[Any]:
    """Yield what is printed of one plan or report."""
    style = "bold red" if not report.ok else "bold green"
    yield text((report.path, "bold"), "  ", (verdict(report), style))
    yield ""
    yield _components(report)
    yield from _names(report, every=every)
    yield from _settings(report, every=every)
    remarks = facts(_remarks(report, cut=not every and _is_cut(report)))
    if remarks is not None:
        yield ""
        yield remarks


def _components(report: Any) -> Any:
    rows = [
        (
            one.name,
            text((one.status, _STATUSES.get(one.status, ""))),
            coverage_text(one),
            one.source if one.source != one.name else "",
        )
        for one in report.components
    ]
    return table(("component", "outcome", "filled", "from"), rows)


def _names(report: Any, *, every: bool) -> Iterator[Any]:
    """For each component what is not as it was stored, the worst first."""
    found = [(one, blocks_of(one, every=every)) for one in report.components]
    sizes = [len(block.rows) for _, blocks in found for block in blocks]
    given = iter(spread(sizes, _ALL if every else max(_MAX_ROWS, len(sizes))))
    for component, blocks in found:
        if not blocks and not component.faults:
            continue
        yield ""
        yield text("  ", (component.name, "bold"), f": {counts_text(blocks)}" if blocks else ":")
        for fault in component.faults:
            yield text("  ", ("! ", "bold red"), in_options(fault))
        yield from _tables(blocks, [next(given) for _ in blocks], bad=bool(component.faults))


def _tables(blocks: Sequence[Block], given: Sequence[int], *, bad: bool) -> Iterator[Any]:
    """One table of names, one of pairs of names: together they would squeeze each other."""
    single: list[tuple[Any, ...]] = []
    pairs: list[tuple[Any, ...]] = []
    for block, n_lines in zip(blocks, given, strict=True):
        shown, more = shown_rows(block, n_lines)
        word = text((block.kind, "dim" if block.kind in HARMLESS else "red" if bad else "yellow"))
        has_pairs = any(row.sources for row in block.rows)
        into = pairs if has_pairs else single
        for row in shown:
            told = (row.sources, row.names, row.detail) if has_pairs else (row.names, row.detail)
            into.append((word, f"{row.size:,}", *told))
            word = text("")
        if more:
            into.append((word, "", text((more, "dim")), *[""] * (2 if has_pairs else 1)))
    if single:
        yield table(("what", "count", "name", "note"), single, numbers=("count",))
    if pairs:
        if single:
            yield ""
        headings = ("what", "count", "stored name", "name", "note")
        yield table(headings, pairs, numbers=("count",), optional=("note",))


def _is_cut(report: Any) -> bool:
    n_rows = sum(len(block.rows) for one in report.components for block in blocks_of(one))
    return n_rows > _MAX_ROWS or any(len(c.settings) > _MAX_SETTINGS for c in report.components)


def _settings(report: Any, *, every: bool) -> Iterator[Any]:
    settings = [setting for one in report.components for setting in one.settings]
    if not settings:
        return
    yield ""
    shown = settings if every else settings[:_MAX_SETTINGS]
    rows = [
        (one.place, one.field, value_text(one.asked), value_text(one.saved), value_text(one.used))
        for one in shown
    ]
    if len(shown) < len(settings):
        rows.append((f"and {len(settings) - len(shown):,} more", "", "", "", ""))
    yield table(("settings", "field", "asked", "saved", "used"), rows)


def _remarks(report: Any, *, cut: bool) -> Iterator[tuple[str, Any]]:
    titles = migrator_titles(report)
    schema = f", schema {report.schema_version}"
    yield "dialect", f"{report.dialect}{schema}" if report.dialect else ""
    yield "mode", report.mode
    yield "migrated", lines(titles) if titles else ""
    left = [f"{name}: {why}" if why else name for name, why in report.left]
    yield "left", lines(left) if left else ""
    notes = [*report.notes]
    notes += [f"{one.name}: {note}" for one in report.components for note in one.notes]
    notes = [in_options(note) for note in notes]
    yield "notes", lines(notes) if notes else ""
    told = [
        text(f"{advice.why}: ", (said, "bold")) if said else text(advice.why)
        for advice in advise(report)
        for said in [advice.option or advice.argument]
    ]
    yield "next", lines(told) if told else ""
    if cut:
        yield "names", "--every names them all"
