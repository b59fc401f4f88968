"""A report as plain text: the verdict, what was filled, what was not, what to do. Pure.

The same for ``print(report)``, a notebook, a log and the message of an error: one page whatever
the disaster, because lines that nobody reads are worth as little as no lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ckptkit.report.advice import advise
from ckptkit.report.human import count_text, size_text
from ckptkit.report.lines import WIDTH, columns, folded, printable
from ckptkit.report.plain_values import value_text
from ckptkit.report.rows import row_lines
from ckptkit.report.summary import Block, blocks_of, migrator_titles, spread, verdict
from ckptkit.report.values import ComponentReport, LoadReport
from ckptkit.types import Coverage

_MAX_LINES = 40
_LEAST_GROUP_LINES = 10  # names are what a report is read for: the rest gives way to them
_MAX_COMPONENTS, _MAX_SETTINGS, _MAX_NOTES, _MAX_FAULTS, _MAX_ADVICE = 6, 4, 3, 8, 5
_SENTENCE_LINES = (8, 5, 3, 2)  # of one sentence at most; the first with which the page is one
_LEAST_ROWS = 8  # of names; sentences are cut before there are fewer
_STATUS_ORDER = {"refused": 0, "absent": 1, "partly": 2, "restored": 3, "fresh": 4}


def report_text(report: LoadReport, *, max_lines: int = _MAX_LINES) -> str:
    """Say what happened, or would happen, in at most ``max_lines`` of 100 columns.

    Every kind of every component is named with its true count; names are collapsed, and where
    they are too many the largest groups stand for them. ``as_dict()`` has every name.
    """
    for n_lines in _SENTENCE_LINES:  # told whole, where that leaves room for the names
        text = _page(report, max_lines, n_lines)
        if text.count("\n") < max_lines:
            break
    return text


def _page(report: LoadReport, max_lines: int, n_lines: int) -> str:
    head = [*_head(report), *_components(report.components)]
    tail = [*_settings(report.components), *_remarks(report, n_lines), *_next(report, n_lines)]
    room = max(max_lines - len(head) - len(tail) - 2, _LEAST_GROUP_LINES)
    parts = (head, [*_groups(report.components, room, n_lines)], tail)
    return "\n\n".join("\n".join(part) for part in parts if part)


def coverage_text(component: ComponentReport) -> str:
    """``148 of 148 parameters, 497 MB of 497 MB``; "" where there is nothing to count."""
    filled = component.coverage
    if not filled.of_tensors:
        return ""
    noun = "tensor" if component.kind in ("stateful", "tree") else "parameter"
    told = f"{filled.tensors:,} of {count_text(filled.of_tensors, noun)}"
    if filled.fraction < 1:
        told += f" ({percent_text(*_scarcer(filled))})"
    if filled.of_nbytes:
        told += f", {size_text(filled.nbytes)} of {size_text(filled.of_nbytes)}"
    return told


def percent_text(part: int, whole: int) -> str:
    """A share in per cent, never rounded up to all nor down to nothing."""
    tenths = part * 1000 // whole
    if not tenths and part:
        return "<0.1%"
    return f"{tenths / 10:.1f}%" if 0 < tenths < 100 or 990 < tenths < 1000 else f"{tenths // 10}%"


def _scarcer(filled: Coverage) -> tuple[int, int]:
    """The smaller share of both, of tensors or of bytes."""
    by_count, by_bytes = (filled.tensors, filled.of_tensors), (filled.nbytes, filled.of_nbytes)
    return by_bytes if by_bytes[0] * by_count[1] < by_count[0] * by_bytes[1] else by_count


def counts_text(blocks: Sequence[Block]) -> str:
    """``1,234 missing, 32 mismatched``: every kind with all that is of it."""
    return ", ".join(f"{block.size:,} {block.kind}" for block in blocks)


def _head(report: LoadReport) -> Iterator[str]:
    yield verdict(report)
    schema = f", schema {report.schema_version}" if report.schema_version < 2 else ""
    yield from _cut(f"from {report.path} ({report.dialect}{schema}), mode {report.mode}", "", 4)


def _components(components: Sequence[ComponentReport]) -> Iterator[str]:
    """A line a component; where they are many, those that went well share one."""
    shown = list(components)
    if len(shown) > _MAX_COMPONENTS:
        worst = sorted(shown, key=lambda one: _STATUS_ORDER.get(one.status, 0))
        kept = {id(one) for one in worst[: _MAX_COMPONENTS - 1]}
        shown = [one for one in components if id(one) in kept]
    rows = [(one.name, one.status, _filled(one)) for one in shown]
    yield from (f"  {line}" for line in columns(rows, (24, 10, 60)))
    rest = [one for one in components if one not in shown]
    if rest:
        statuses = [one.status for one in rest]
        told = ", ".join(f"{statuses.count(name)} {name}" for name in dict.fromkeys(statuses))
        yield f"  and {len(rest):,} more: {told}"


def _filled(component: ComponentReport) -> str:
    told = coverage_text(component)
    if component.source and component.source != component.name:
        return f"{told}, from {component.source}" if told else f"from {component.source}"
    return told


def _groups(components: Sequence[ComponentReport], room: int, n_lines: int) -> Iterator[str]:
    """What is to be said of names: for each component its counts, its faults and its rows."""
    found = [(component, blocks_of(component)) for component in components]
    found = [(component, blocks) for component, blocks in found if blocks or component.faults]
    found.sort(key=lambda pair: not pair[0].faults)
    told, rest = found[:_MAX_COMPONENTS], found[_MAX_COMPONENTS:]
    n_faults = max(_MAX_FAULTS // max(sum(bool(one.faults) for one, _ in told), 1), 1)
    heads = [[*_heading(*pair, n_faults, n_lines)] for pair in told]
    sizes = [len(block.rows) for _, some in told for block in some]
    least = min(sum(sizes), _LEAST_ROWS) if n_lines > _SENTENCE_LINES[-1] else 0
    given = iter(spread(sizes, max(room - sum(map(len, heads)) - bool(rest), least)))
    for head, (_, some) in zip(heads, told, strict=True):
        yield from head
        yield from row_lines(some, [next(given) for _ in some])
    if rest:
        totals = Counter(line.kind for component, _ in rest for line in component.lines)
        counts = ", ".join(f"{n:,} {kind}" for kind, n in totals.items())
        yield from _cut(f"and {len(rest):,} more components: {counts or 'see as_dict()'}", "", 3)


def _heading(
    component: ComponentReport, blocks: Sequence[Block], n_faults: int, n_lines: int
) -> Iterator[str]:
    counts = counts_text(blocks)
    yield from _cut(f"{component.name}: {counts}" if counts else f"{component.name}:", "", 3)
    for fault in component.faults[:n_faults]:
        yield from _cut(fault, "  ! ", n_lines)
    if len(component.faults) > n_faults:
        yield f"  ! and {len(component.faults) - n_faults:,} more reasons"


def _settings(components: Sequence[ComponentReport]) -> Iterator[str]:
    settings = [setting for component in components for setting in component.settings]
    if not settings:
        return
    rows = [("settings", "", "asked", "saved", "used")]
    rows += [
        (one.place, one.field, value_text(one.asked, 16), value_text(one.saved, 16),
         value_text(one.used, 16))
        for one in settings[:_MAX_SETTINGS]
    ]  # fmt: skip
    yield from columns(rows, (24, 16, 16, 16, 16))
    if len(settings) > _MAX_SETTINGS:
        yield f"and {len(settings) - _MAX_SETTINGS:,} more settings that differ"


def _remarks(report: LoadReport, n_lines: int) -> Iterator[str]:
    titles = migrator_titles(report)
    if titles:
        yield from _hanging(f"migrated in memory: {'; '.join(titles)}", n_lines)
    if report.left:
        left = ", ".join(f"{name} ({why})" if why else name for name, why in report.left)
        yield from _hanging(f"left in the checkpoint: {left}", n_lines)
    notes = [*report.notes]
    notes += [f"{one.name}: {note}" for one in report.components for note in one.notes]
    for note in notes[:_MAX_NOTES]:
        yield from _cut(note, "note: ", n_lines)
    if len(notes) > _MAX_NOTES:
        yield f"and {len(notes) - _MAX_NOTES:,} more notes"


def _next(report: LoadReport, n_lines: int) -> Iterator[str]:
    told = advise(report)
    if told:
        yield "what to do:"
    for advice in told[:_MAX_ADVICE]:
        text = f"{advice.why}: {advice.argument}" if advice.argument else advice.why
        yield from _cut(text, "  - ", n_lines)


def _cut(text: str, mark: str, n_lines: int) -> Iterator[str]:
    """A sentence, escaped, behind its mark; its other lines are indented as far."""
    for position, line in enumerate(folded(printable(text), WIDTH - len(mark), n_lines)):
        yield (mark if not position else " " * len(mark)) + line


def _hanging(text: str, n_lines: int) -> Iterator[str]:
    """A sentence whose other lines are indented a little."""
    for position, line in enumerate(folded(printable(text), WIDTH - 2, n_lines)):
        yield line if not position else f"  {line}"
