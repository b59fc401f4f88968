"""``diff`` for people: a summary first, then what differs, the worst on top."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ckptkit.cli.human import count_text, number_text
from ckptkit.cli.moved import Moved, summarise_moves
from ckptkit.cli.render_notices import notice_lines
from ckptkit.cli.safe_text import safe, shortened
from ckptkit.cli.screen import facts, table, text
from ckptkit.nodes import Node, SeqNode
from ckptkit.report.collapse import Group, collapse
from ckptkit.verbs.diffing.values import (
    Compared,
    DiffReport,
    Figures,
    SettingRow,
    Side,
    TensorRow,
)
from ckptkit.verbs.outline import describe

_MAX_ROWS = 40  # of a table
_MAX_VALUE_CHARS = 60
_MAX_ITEMS = 8  # of a sequence that is spelled out
_WORDS = {
    "shape": ("shape", "bold red"), "only-a": ("only in A", "red"), "only-b": ("only in B", "red"),
    "dtype": ("dtype", "yellow"), "values": ("values", "yellow"), "moved": ("moved", "cyan"),
    "renamed": ("renamed", "cyan"), "close": ("close", "green"),
}  # fmt: skip
_BY_FORM = ("shape", "only-a", "only-b", "dtype")  # their values are beside the point
_COUNTED = {
    "equal": "equal", "alike": "alike by name, shape and dtype", "close": "close",
    "values": "differ", "dtype": "of another dtype", "shape": "of another shape",
    "only-a": "only in A", "only-b": "only in B", "renamed": "renamed", "moved": "moved",
}  # fmt: skip


def render(report: DiffReport, *, every: bool) -> Iterator[Any]:
    """Yield what is printed of one comparison."""
    yield _which("A", report.a)
    yield _which("B", report.b)
    yield ""
    yield text("  ", *_summary(report))
    forms = [row for row in report.rows if row.kind in _BY_FORM]
    yield from _cut(_tensor_rows(forms, _form_cells, every=every), _form_table, every=every)
    values = [row for row in report.rows if row.kind in ("values", "close")]
    yield from _cut(_tensor_rows(values, _figure_cells, every=every), _figure_table, every=every)
    gone = [row for row in report.rows if row.kind in ("renamed", "moved")]
    yield from _cut(_renamed_rows(gone, every=every), _renamed_table, every=every)
    yield from _cut(_setting_rows(report.settings, every=every), _setting_table, every=every)
    if report.notices:
        yield ""
    yield facts([("notes", notice_lines(report.notices))])


def _which(letter: str, one: Compared) -> Any:
    what = f"{one.dialect}, {one.container}, schema {one.schema_version}"
    return text((letter, "bold"), "  ", (safe(one.path), "bold"), "  ", (what, "dim"))


def _summary(report: DiffReport) -> Iterator[tuple[str, str]]:
    """The one line that says it all."""
    counts = report.counts
    yield (
        "the same: " if report.same else "different: ",
        "bold green" if report.same else "bold red",
    )
    parts = [
        f"{counts[kind]:,} {words}" if position else f"{count_text(counts[kind], 'tensor')} {words}"
        for position, (kind, words) in enumerate(
            (kind, "differs" if (kind, counts[kind]) == ("values", 1) else words)
            for kind, words in _COUNTED.items()
            if kind in counts
        )
    ]
    differing = len(report.settings)
    if differing:
        differ = "differs" if differing == 1 else "differ"
        parts.append(f"{differing:,} of {count_text(report.n_settings, 'setting')} {differ}")
    elif report.n_settings:
        parts.append(f"{count_text(report.n_settings, 'setting')} equal")
    yield ", ".join(parts) or "nothing is in either", ""


def _cut(rows: Sequence[Any], as_table: Any, *, every: bool) -> Iterator[Any]:
    """A table, and how many of its rows are left out."""
    if not rows:
        return
    shown = rows if every else rows[:_MAX_ROWS]
    yield ""
    yield as_table(shown)
    if len(shown) < len(rows):
        yield text(f"  and {count_text(len(rows) - len(shown), 'more line')}; --every shows all")


# -- tensors --------------------------------------------------------------------------------------


def _tensor_rows(
    rows: Sequence[TensorRow], cells: Callable[[TensorRow], tuple[Any, ...]], *, every: bool
) -> list[tuple[Any, ...]]:
    """One line of a group, with the cells of its worst member, which is the first."""
    names = [row.side.place for row in rows]
    if every:
        groups = [Group(name, (position,)) for position, name in enumerate(names)]
    else:
        groups = collapse(names, [_family(row) for row in rows])
    told = []
    for group in groups:
        worst = rows[group.members[0]]
        word, style = _WORDS[worst.kind]
        count = f"{group.size:,}" if group.size > 1 else ""
        told.append((safe(group.pattern), count, text((word, style)), *cells(worst)))
    return told


def _family(row: TensorRow) -> tuple[Any, ...]:
    sides = [side and (side.dtype, side.shape) for side in (row.a, row.b)]
    return row.kind, *sides, _elsewhere(row), _twin(row), row.figures and _n_odd(row.figures) > 0


def _form_cells(row: TensorRow) -> tuple[Any, ...]:
    notes = [*_remarks(row)]
    if row.figures is not None:
        far = f"max abs {number_text(row.figures.max_abs)}"
        notes.insert(0, f"{far}, rel L2 {number_text(row.figures.relative_l2)}")
    return _form(row.a), _form(row.b), safe("; ".join(notes))


def _figure_cells(row: TensorRow) -> tuple[Any, ...]:
    figures, note = row.figures, safe("; ".join(_remarks(row)))
    if figures is None:
        return "", "", "", note
    cosine = "" if figures.cosine is None else f"{figures.cosine:.6f}"
    return number_text(figures.max_abs), number_text(figures.relative_l2), cosine, note


def _form(side: Side | None) -> str:
    """Dtype and shape."""
    if side is None:
        return ""
    return f"{safe(side.dtype)} {'x'.join(map(str, side.shape)) or 'scalar'}"


def _remarks(row: TensorRow) -> Iterator[str]:
    if elsewhere := _elsewhere(row):
        yield f"in B {elsewhere}"
    if twin := _twin(row):
        yield f"equals {'B' if row.a is not None else 'A'}'s {twin}"
    if row.figures is not None:
        yield from _odd_numbers(row.figures)
    elif row.kind == "values":
        yield "bits differ; they are no numbers"


def _elsewhere(row: TensorRow) -> str:
    """The place in B, where it is another one; ``*`` stands for the end that both names share."""
    if row.a is None or row.b is None or row.a.place == row.b.place:
        return ""
    return _starred(row.a.place, row.b.place)


def _twin(row: TensorRow) -> str:
    return _starred(row.side.place, row.twin) if row.twin else ""


def _starred(name: str, other: str) -> str:
    pieces, others = (re.split(r"(?<=[./])", one) for one in (name, other))
    shared = 0
    while shared < min(len(pieces), len(others)) and pieces[-1 - shared] == others[-1 - shared]:
        shared += 1
    return "".join(others[: len(others) - shared]) + "*" if shared else other


def _n_odd(figures: Figures) -> int:
    return sum(figures.n_nan) + sum(figures.n_inf)


def _odd_numbers(figures: Figures) -> Iterator[str]:
    for what, counts in (("NaN", figures.n_nan), ("Inf", figures.n_inf)):
        if any(counts):
            told = f"{counts[0]:,} in A, {counts[1]:,} in B"
            yield f"{what}: {f'{counts[0]:,} in both' if counts[0] == counts[1] else told}"
    if not figures.n_different:
        yield "only bits differ, no value"


def _form_table(rows: Sequence[Any]) -> Any:
    headings = ("tensor", "tensors", "outcome", "in A", "in B", "note")
    return table(headings, rows, numbers=("tensors",))


def _figure_table(rows: Sequence[Any]) -> Any:
    headings = ("tensor", "tensors", "outcome", "max abs", "rel L2", "cosine", "note")
    return table(headings, rows, numbers=("tensors", "max abs", "rel L2", "cosine"))


# -- names ----------------------------------------------------------------------------------------


def _renamed_rows(rows: Sequence[TensorRow], *, every: bool) -> list[tuple[Any, ...]]:
    told = []
    for kind in ("moved", "renamed"):
        moves = [
            Moved(row.a.place, row.b.place, 1, row.a.nbytes)
            for row in rows
            if row.kind == kind and row.a is not None and row.b is not None
        ]
        word, style = _WORDS[kind]
        told += [
            (safe(one.source), f"{one.leaves:,}" if one.leaves > 1 else "", text((word, style)),
             safe(one.target))
            for one in summarise_moves(moves, every=every)
        ]  # fmt: skip
    return told


def _renamed_table(rows: Sequence[Any]) -> Any:
    return table(("in A", "tensors", "outcome", "in B"), rows, numbers=("tensors",))


# -- settings -------------------------------------------------------------------------------------


def _setting_rows(rows: Sequence[SettingRow], *, every: bool) -> list[tuple[Any, ...]]:
    names = [row.section if row.name == "/" else f"{row.section}/{row.name}" for row in rows]
    cells = [_setting_cells(row) for row in rows]
    if every:
        groups = [Group(name, (position,)) for position, name in enumerate(names)]
    else:
        groups = collapse(names, [(rows[i].kind, *cell) for i, cell in enumerate(cells)])
    told = []
    for group in groups:
        first = group.members[0]
        count = f"{group.size:,}" if group.size > 1 else ""
        ours, theirs, note = cells[first]
        told.append((safe(group.pattern), count, _or_absent(ours), _or_absent(theirs), note))
    return told


def _setting_cells(row: SettingRow) -> tuple[str, str, str]:
    ours = "" if row.kind == "only-b" else value_text(row.a)
    theirs = "" if row.kind == "only-a" else value_text(row.b)
    return ours, theirs, _first_gap(row)


def _or_absent(cell: str) -> Any:
    return cell or text(("absent", "dim"))


def value_text(node: Node) -> str:
    """A value in a cell; a short sequence is spelled out."""
    if isinstance(node, SeqNode) and len(node) <= _MAX_ITEMS:
        inside = ", ".join(describe(item)[1] for item in node.items)
        return shortened(f"[{inside}]", _MAX_VALUE_CHARS)
    return shortened(describe(node)[1], _MAX_VALUE_CHARS)


def _first_gap(row: SettingRow) -> str:
    """Where two long sequences begin to differ."""
    ours, theirs = row.a, row.b
    if not isinstance(ours, SeqNode) or not isinstance(theirs, SeqNode):
        return ""
    if max(len(ours), len(theirs)) <= _MAX_ITEMS:
        return ""
    pairs = zip(ours.items, theirs.items, strict=False)
    at = next((i for i, (x, y) in enumerate(pairs) if repr(x) != repr(y)), None)
    return f"equal up to item {min(len(ours), len(theirs)) if at is None else at}"


def _setting_table(rows: Sequence[Any]) -> Any:
    return table(("setting", "places", "A", "B", "note"), rows, numbers=("places",))
