"""Many names as few: ``layers.0.weight`` to ``layers.31.weight`` become ``layers.{0..31}.weight``.

Pure. A group stands exactly for the names that it replaced: expanding its ranges gives those
names and no other, which tests/unit/test_collapse.py holds as a law.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

# A whole number anywhere in a name: ``layers.1.w``, ``w1``, ``block_1``. Whether such names are
# alike, their kinds say. A leading zero is kept as text, because 07 and 7 are two names.
_INDEX = re.compile(r"(?<![0-9])(0|[1-9][0-9]{0,17})(?![0-9])")
_MAX_INDICES = 16  # of one name; those behind are kept as text


class Group(NamedTuple):
    """Names that differ in their indices only. ``members`` are positions in what was given."""

    pattern: str
    members: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many names it stands for."""
        return len(self.members)


def collapse(names: Sequence[str], kinds: Sequence[Hashable] | None = None) -> list[Group]:
    """Group names by what they are without their indices, in order of first appearance.

    ``kinds``: only names of equal kind (dtype and shape, say) share a group.
    """
    families: dict[tuple[tuple[str, ...], Hashable], list[tuple[tuple[int, ...], int]]] = {}
    for position, name in enumerate(names):
        parts = _INDEX.split(name, _MAX_INDICES)
        template = tuple(parts[::2])
        family = (template, kinds[position] if kinds else None)
        families.setdefault(family, []).append((tuple(map(int, parts[1::2])), position))
    groups = []
    for family, rows in families.items():
        for ranges, members in _products(rows):
            groups.append(Group(_spelled(family[0], ranges), tuple(sorted(members))))
    return sorted(groups, key=lambda group: group.members[0])


_Product = tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]  # index sets, members


def _products(rows: Iterable[tuple[tuple[int, ...], int]]) -> list[_Product]:
    """Cover the index tuples by disjoint products of index sets, merging the last axis first.

    Equal names (the same tuple twice) stay apart, so that a group's count is its names' count.
    """
    products: list[_Product] = []
    seen: set[tuple[int, ...]] = set()
    single: list[_Product] = []
    for index, position in rows:
        product: _Product = (tuple((number,) for number in index), (position,))
        (single if index in seen else products).append(product)
        seen.add(index)
    n_axes = len(products[0][0])
    for axis in reversed(range(n_axes)):
        merged: dict[Hashable, list[_Product]] = {}
        for product in products:
            sets = product[0]
            merged.setdefault((sets[:axis], sets[axis + 1 :]), []).append(product)
        products = [_merge(group, axis) for group in merged.values()]
    return products + single


def _merge(group: Sequence[_Product], axis: int) -> _Product:
    if len(group) == 1:
        return group[0]
    numbers = sorted({number for sets, _ in group for number in sets[axis]})
    first = group[0][0]
    sets = (*first[:axis], tuple(numbers), *first[axis + 1 :])
    return sets, tuple(position for _, members in group for position in members)


def _spelled(template: Sequence[str], ranges: Sequence[Sequence[int]]) -> str:
    parts = [template[0]]
    for numbers, text in zip(ranges, template[1:], strict=True):
        parts += [_spelled_set(numbers), text]
    return "".join(parts)


def _spelled_set(numbers: Sequence[int]) -> str:
    """``7``, ``{0..31}``, ``{0..60..12}`` (by steps) or ``{0..3,5,9..11}``; sorted, distinct."""
    if len(numbers) == 1:
        return str(numbers[0])
    step = numbers[1] - numbers[0]
    if step > 1 and len(numbers) > 2 and all(high - low == step for low, high in pairwise(numbers)):
        return f"{{{numbers[0]}..{numbers[-1]}..{step}}}"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    spelled = [str(low) if low == high else f"{low}..{high}" for low, high in runs]
    # A run of two reads better as a pair.
    spelled = [text.replace("..", ",") if _is_pair(text) else text for text in spelled]
    return "{" + ",".join(spelled) + "}"


def _is_pair(text: str) -> bool:
    low, dots, high = text.partition("..")
    return bool(dots) and int(high) == int(low) + 1
