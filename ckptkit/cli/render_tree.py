"""A tree as an indented outline; neighbours that differ in their index alone share a line."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckptkit.cli.screen import text
from ckptkit.report.collapse import collapse
from ckptkit.verbs.outline import OutlineRow

_FEW = 4  # so many neighbours are told one by one


@dataclass(slots=True)
class _Twig:
    """A row with those below it. ``shape`` is equal for twigs that look alike but for values."""

    row: OutlineRow
    below: list[_Twig] = field(default_factory=list)
    shape: Hashable = None
    count: int = 1


def render_tree(rows: Sequence[OutlineRow], *, every: bool) -> Iterator[Any]:
    """Yield one text a line."""
    twigs = _grown(rows)
    stack = [iter(twigs if every else _joined(twigs))]
    while stack:
        for twig in stack[-1]:
            style = "bold" if twig.row.kind in ("mapping", "record") else ""
            times = f"{twig.count:,} times " if twig.count > 1 else ""
            yield text(
                "  " * len(stack), (twig.row.name, style), "  ", (times + twig.row.text, "dim")
            )
            if twig.below:
                stack.append(iter(twig.below if every else _joined(twig.below)))
                break
        else:
            stack.pop()


def _grown(rows: Sequence[OutlineRow]) -> list[_Twig]:
    """Nest the rows, and give each twig its shape from the innermost outwards."""
    top: list[_Twig] = []
    above: list[list[_Twig]] = [top]
    grown = []
    for row in rows:
        twig = _Twig(row)
        del above[row.depth + 1 :]
        above[row.depth].append(twig)
        above.append(twig.below)
        grown.append(twig)
    shapes: dict[Hashable, int] = {}  # numbered, so that deep trees compare in one step
    for twig in reversed(grown):
        if twig.below:
            whole = (twig.row.text, tuple((one.row.name, one.shape) for one in twig.below))
            twig.shape = shapes.setdefault(whole, len(shapes))
        else:
            twig.shape = twig.row.kind.partition(" [")[0]
    return top


def _joined(twigs: Sequence[_Twig]) -> list[_Twig]:
    """Join neighbours of one shape whose names differ in an index."""
    if len(twigs) <= _FEW:
        return list(twigs)
    # Leaves of one value or dtype and shape join; a value of its own is worth its line.
    kinds = [
        (twig.shape, "" if twig.below or "[" in twig.row.kind else twig.row.text) for twig in twigs
    ]
    joined = []
    for group in collapse([twig.row.name for twig in twigs], kinds):
        members = [twigs[position] for position in group.members]
        first = members[0] if len(members) == 1 else _overlaid(members)
        joined.append(
            _Twig(first.row._replace(name=group.pattern), first.below, first.shape, group.size)
        )
    return joined


def _overlaid(members: Sequence[_Twig]) -> _Twig:
    """One twig that says of many what holds for all; what differs is said to."""
    pairs = [([*members], out := _Twig(members[0].row))]
    while pairs:
        twigs, result = pairs.pop()
        if any(twig.row.text != twigs[0].row.text for twig in twigs):
            kind = twigs[0].row.kind.partition(" [")[0]
            told = (
                f"tensor {kind}, shapes differ" if "[" in twigs[0].row.kind else f"{kind}, differs"
            )
            result.row = twigs[0].row._replace(text=told)
        for position, one in enumerate(twigs[0].below):
            result.below.append(_Twig(one.row))
            pairs.append(([twig.below[position] for twig in twigs], result.below[-1]))
    return out
