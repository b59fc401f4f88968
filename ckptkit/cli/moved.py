"""Where every key went, in few lines: keys that moved alike share one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_FEW = 3  # so many keys are named one by one,
_MANY = 40  # and so many top-level ones that have no place of their own


class Moved(NamedTuple):
    """Some keys that moved alike; ``*`` in both names stands for the same text."""

    source: str
    target: str
    leaves: int
    nbytes: int
    note: str = ""


def summarise_moves(rows: Sequence[Moved], *, every: bool = False) -> list[Moved]:
    """Join keys below one top-level key that share the beginnings of both names; order is kept.

    So every top-level key that holds others is seen with what became of it, and so is, by name,
    every one that went to ``extra``.
    """
    if every:
        return list(rows)
    groups: dict[tuple[str, str, str, str], list[Moved]] = {}
    for row in rows:
        tail = _shared_tail(row.source, row.target)
        heads = row.source[: len(row.source) - tail], row.target[: len(row.target) - tail]
        groups.setdefault((_top(row.source), *heads, row.note), []).append(row)
    told = []
    for (top, source, target, note), members in groups.items():
        by_name = not top and _top(target + "x") in ("", "extra")
        if len(members) <= (_MANY if by_name else _FEW):
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


def _top(name: str) -> str:
    """The top-level key that a name is below; "" for one that is top-level itself."""
    step = 0
    while (step := name.find("/", step)) > 0 and name[step - 1] == "\\":
        step += 1  # an escaped one, inside the key
    return name[: max(step, 0)]


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
