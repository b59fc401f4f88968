"""A component's lines as few rows: names that differ in their indices only share one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from ckptkit.report.collapse import collapse
from ckptkit.report.values import KINDS, ComponentReport, Line, LoadReport

_NUMBER = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,17})(?![0-9])")
_RANK = {kind: position for position, kind in enumerate(KINDS)}

#: Kinds that nobody has to do anything about: everything is as it should be.
HARMLESS = frozenset(
    {"cast", "renamed", "computed", "migrated", "defaulted", "benign", "tied", "overridden"}
)

_DETAILS_OF_NAMES = frozenset({"ambiguous", "computed"})  # kinds whose details name other names


class Row(NamedTuple):
    """Some names of one kind that are alike: ``names`` and ``sources`` are patterns of them."""

    names: str
    sources: str
    detail: str
    size: int
    nbytes: int


class Block(NamedTuple):
    """All that is of one kind in one component."""

    component: str
    kind: str
    size: int
    nbytes: int
    rows: tuple[Row, ...]


def blocks_of(component: ComponentReport, *, every: bool = False) -> tuple[Block, ...]:
    """Group the lines of a component, the worst kind first; ``every``: one row a name."""
    by_kind: dict[str, list[Line]] = {}
    for line in component.lines:
        by_kind.setdefault(line.kind, []).append(line)
    proposed = by_kind.get("proposed", ())
    likely = {"missing": {p.name for p in proposed}, "unexpected": {p.source for p in proposed}}
    return tuple(
        Block(
            component.name,
            kind,
            len(by_kind[kind]),
            sum(line.nbytes for line in by_kind[kind]),
            tuple(map(_one, by_kind[kind]))
            if every
            else _rows(by_kind[kind], likely.get(kind, set())),
        )
        for kind in sorted(by_kind, key=lambda kind: _RANK.get(kind, len(KINDS)))
    )


def spread(sizes: Sequence[int], budget: int) -> list[int]:
    """How many of ``budget`` lines each of several blocks gets: one each first, then in turn.

    Where there are fewer lines than blocks the last ones get none. No block gets more than it has.
    """
    given = [0] * len(sizes)
    while budget > 0:
        hungry = [i for i, size in enumerate(sizes) if given[i] < size][:budget]
        if not hungry:
            break
        for i in hungry:
            given[i] += 1
        budget -= len(hungry)
    return given


def shown_rows(block: Block, n_lines: int) -> tuple[tuple[Row, ...], str]:
    """The rows that ``n_lines`` have room for, and a sentence about the others.

    In their own order if all are shown, else the largest first.
    """
    if len(block.rows) <= n_lines:
        return block.rows, ""
    by_size = sorted(block.rows, key=lambda row: -row.size)
    shown = tuple(by_size[: max(n_lines - 1, 0)])
    rest = by_size[len(shown) :]
    names = sum(row.size for row in rest)
    more = f"and {names:,} more" if shown else f"{names:,} names"
    return shown, more if len(rest) == names else f"{more} in {len(rest):,} groups"


def verdict(report: LoadReport) -> str:
    """The first words of every report."""
    if not report.ok:
        return "would be refused" if report.planned else "refused: nothing was changed"
    in_part = any(
        component.status == "partly" or (component.status, component.kind) == ("absent", "module")
        for component in report.components
    )
    nothing = not any(c.status in ("restored", "partly") for c in report.components)
    if nothing:
        return "nothing to restore" if report.planned else "nothing was restored"
    done = "would restore" if report.planned else "restored"
    return f"{done} in part, as allowed" if in_part else done


def migrator_titles(report: LoadReport) -> list[str]:
    """The first sentence of every migrator of somebody's own that was applied."""
    own = report.migrated[report.schema_steps :]
    return [title.partition(". ")[0].rstrip(".") for title in own]


def _one(line: Line) -> Row:
    return Row(line.name, line.source, line.detail, 1, line.nbytes)


def _rows(lines: Sequence[Line], likely: AbstractSet[str]) -> tuple[Row, ...]:
    """Names that stand in a likely rename are told there: here they share a row."""
    told_below = [line for line in lines if line.name in likely]
    if len(told_below) > 1:
        others = _rows([line for line in lines if line.name not in likely], set())
        nbytes = sum(line.nbytes for line in told_below)
        return (*others, Row("(each in a likely rename, below)", "", "", len(told_below), nbytes))
    kinds = [(_relation(line.name, line.source), _detail_kind(line)) for line in lines]
    rows = []
    for group in collapse([line.name for line in lines], kinds):
        members = [lines[i] for i in group.members]
        rows.append(
            Row(
                group.pattern,
                _together([line.source for line in members]),
                _together([line.detail for line in members]),
                len(members),
                sum(line.nbytes for line in members),
            )
        )
    return tuple(rows)


def _relation(name: str, source: str, *, once: bool = True) -> tuple[str, ...]:
    """How a source follows from a name: its text, with the numbers that are the name's own.

    Only lines of one relation share a row, so that both patterns run through the same indices.
    """
    if not source:
        return ()
    numbers = _NUMBER.findall(name)
    parts = _NUMBER.split(source)
    free = dict(enumerate(numbers))
    for position, number in enumerate(parts[1::2]):
        same = [i for i, other in free.items() if other == number]
        if same:
            taken = position if position in same else same[0]
            if once:
                del free[taken]
            parts[2 * position + 1] = f"\0{taken}"
    return tuple(parts)


def _detail_kind(line: Line) -> tuple[str, ...]:
    """What of a detail must be equal in a row: of shapes all, of other names their relation."""
    if line.kind in _DETAILS_OF_NAMES:
        return _relation(line.name, line.detail, once=False)
    return (line.detail,)


def _together(texts: Sequence[str]) -> str:
    """Texts of one relation to their names as one pattern."""
    if len(set(texts)) == 1:
        return texts[0]
    groups = collapse(list(dict.fromkeys(texts)))
    if len(groups) == 1:
        return groups[0].pattern
    return f"{texts[0]} and {len(set(texts)) - 1:,} more"
