"""How far the order of names in a file can be trusted to be the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ckptkit.match.values import Shape


def trust_of(names: Sequence[str], *, order_kept: bool) -> str:
    """Return "kept", "sorted" or "unsure".

    Names that are not in the order of the alphabet were not sorted. Those that are may be so by
    chance ("a.weight", "b.weight"), but not where a bias comes before its weight, or layer 10
    before layer 2: no torch module lists its own so.
    """
    if order_kept or any(one > other for one, other in pairwise(names)):
        return "kept"
    bias_first = any(
        one.removesuffix("bias") == other.removesuffix("weight") and one != other
        for one, other in pairwise(names)
    )
    if bias_first or list(names) != sorted(names, key=_by_number):
        return "sorted"
    return "unsure"


def _by_number(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in name.split(".")]


def places(known: Sequence[Shape | None], order: Sequence[Shape]) -> list[int] | None:
    """Where each shape stands in ``order``, as a subsequence; -1 where several places are left.

    The first and the last possible place bound all others, so equal bounds are a proof. None where
    the shapes are no subsequence; an unknown shape (None) may stand anywhere.
    """
    first = _earliest(known, order)
    last = _earliest(known[::-1], order[::-1])
    if first is None or last is None:
        return None
    latest = [len(order) - 1 - place for place in reversed(last)]
    return [a if a == b else -1 for a, b in zip(first, latest, strict=True)]


def _earliest(known: Sequence[Shape | None], order: Sequence[Shape]) -> list[int] | None:
    found = []
    at = 0
    for shape in known:
        while at < len(order) and shape is not None and order[at] != shape:
            at += 1
        if at >= len(order):
            return None
        found.append(at)
        at += 1
    return found
