"""Where every key went, in few lines: keys that moved alike share one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_FEW = 3  # so many keys are named one by one


class Moved(NamedTuple):
    """Some keys that moved alike; ``*`` in both names stands for the same text."""

    source: str
    target: str
    leaves: int
    nbytes: int
    note: str = ""


def summarise_moves(rows: Sequence[Moved], *, every: bool = False) -> list[Moved]:
    """Join single keys that share the beginnings of source and target; order is kept."""
    if every:
        return list(rows)
    groups: dict[tuple[str, str, str], list[Moved]] = {}
    for row in rows:
        tail = _shared_tail(row.source, row.target)
        heads = row.source[: len(row.source) - tail], row.target[: len(row.target) - tail]
        groups.setdefault((*heads, row.note), []).append(row)
    told = []
    for (source, target, note), members in groups.items():
        if len(members) <= _FEW:
            told += members
            continue
        below = _shared_head([row.source[len(source) :] for row in members])
        told.append(
            Moved(
                f"{source}{below}*",
                f"{target}{below}*",
                len(members),
                sum(row.nbytes for row in members),
                note,
            )
        )
    return told


def _shared_tail(one: str, other: str) -> int:
    """The length of the longest common end that begins at a boundary of both names."""
    limit = min(len(one), len(other))
    length = 0
    while length < limit and one[-length - 1] == other[-length - 1]:
        length += 1
    while length and not (_is_start(one, length) and _is_start(other, length)):
        length -= 1
    return length


def _is_start(name: str, length: int) -> bool:
    return length == len(name) or name[-length - 1] in "./"


def _shared_head(names: Sequence[str]) -> str:
    """The common beginning that ends at a boundary."""
    low, high = min(names), max(names)
    length = 0
    while length < len(low) and length < len(high) and low[length] == high[length]:
        length += 1
    return low[: max(low.rfind(mark, 0, length) for mark in "./") + 1]
