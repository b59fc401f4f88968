r"""Many rows of names as few: ``h.0.q -> l.0.q`` ... become ``h.(\d+).q -> l.\1.q``. Pure.

A row is a stored name and what it becomes. The patterns that come out match exactly the stored
names that went in, and no other name that is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ckptkit.algebra.patterns import literal, match

_NUMBER = re.compile(r"(?<![0-9])(0|[1-9][0-9]*)(?![0-9])")
Row = tuple[str, ...]


class _Parsed(NamedTuple):
    row: Row
    numbers: tuple[tuple[str, ...], ...]  # of each name of the row
    leaf: str  # the last step, where all names of the row have the same


def generalised(rows: Sequence[Row], there: Iterable[str]) -> list[Row]:
    """Return a pattern and its templates for each family of rows, in order of appearance."""
    families: dict[tuple[tuple[str, ...], ...], list[_Parsed]] = {}
    for row in rows:
        key, parsed = _parse(row)
        families.setdefault(key, []).append(parsed)
    names = list(there)
    made: list[Row] = []
    for key, members in families.items():
        made += _family(key, members, names)
    return made


def _parse(row: Row) -> tuple[tuple[tuple[str, ...], ...], _Parsed]:
    """The row without numbers and common last step, and those."""
    heads = [name.rpartition(".") for name in row]
    same = len({head[2] for head in heads}) == 1 and all(head[1] for head in heads)
    leaf = heads[0][2] if same and not _NUMBER.search(heads[0][2]) else ""
    texts = [head[0] + "." if leaf else name for head, name in zip(heads, row, strict=True)]
    split = [_NUMBER.split(text) for text in texts]
    key = tuple((*parts[::2], "*" if leaf else "") for parts in split)
    return key, _Parsed(row, tuple(tuple(parts[1::2]) for parts in split), leaf)


def _family(
    key: tuple[tuple[str, ...], ...], members: list[_Parsed], there: list[str]
) -> list[Row]:
    taken = {member.row[0] for member in members}
    for exactly in (False, True):  # any number, or those alone
        row = _joined(key, members, exactly=exactly)
        if row is not None:
            matched = {name for name in there if match(row[0], name) is not None}
            if matched <= taken:
                return [row]
    return [tuple(literal(name) for name in member.row) for member in members]


def _joined(
    key: tuple[tuple[str, ...], ...], members: list[_Parsed], *, exactly: bool
) -> Row | None:
    """One pattern for all; None where a number of a target comes from nowhere."""
    columns = list(zip(*(member.numbers[0] for member in members), strict=True))
    groups: dict[int, int] = {}  # position in the source -> number of its group
    source = ""
    for place, text in enumerate(key[0][:-1]):
        source += literal(text)
        if place < len(columns):
            values = list(dict.fromkeys(columns[place]))
            if len(values) == 1:
                source += literal(values[0])
            else:
                groups[place] = len(groups) + 1
                source += "(" + ("|".join(values) if exactly else r"\d+") + ")"
    leaves = list(dict.fromkeys(member.leaf for member in members))
    leaf_group = len(groups) + 1
    if key[0][-1]:
        source += leaves[0] if len(leaves) == 1 else f"({'|'.join(map(re.escape, leaves))})"
    row = [source]
    for index in range(1, len(key)):
        target = _target(key[index], index, members, columns, groups)
        if target is None:
            return None
        end = (literal(leaves[0]) if len(leaves) == 1 else f"\\{leaf_group}") if key[0][-1] else ""
        row.append(target + end)
    return tuple(row)


def _target(
    texts: tuple[str, ...], index: int, members: list[_Parsed],
    columns: list[tuple[str, ...]], groups: dict[int, int],
) -> str | None:  # fmt: skip
    target, used = "", -1
    own = list(zip(*(member.numbers[index] for member in members), strict=True))
    for place, text in enumerate(texts[:-1]):
        target += literal(text)
        if place >= len(own):
            continue
        if len(set(own[place])) == 1:
            target += literal(own[place][0])
            continue
        same = [at for at in groups if columns[at] == own[place]]
        if not same:
            return None
        used = next((at for at in same if at > used), same[0])
        target += f"\\{groups[used]}"
    return target


def any_of(patterns: Sequence[str]) -> str:
    """One pattern for several that are literal: ``wte.weight`` and ``head.weight``, say."""
    if len(patterns) == 1:
        return patterns[0]
    tails = [pattern.split(".") for pattern in patterns]
    shared = 0
    while all(len(t) > shared + 1 and t[-1 - shared] == tails[0][-1 - shared] for t in tails):
        shared += 1
    heads = [re.escape(".".join(t[: len(t) - shared])) for t in tails]
    return ".".join([f"({'|'.join(heads)})", *tails[0][len(tails[0]) - shared :]])
