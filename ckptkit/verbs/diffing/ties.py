"""Which tensors are tied in one checkpoint and not in the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ckptkit.types import Notice
from ckptkit.verbs.diffing.pairing import Tensor

_Tensors = Mapping[tuple[Any, ...], Tensor]


def tie_notices(ours: _Tensors, theirs: _Tensors) -> list[Notice]:
    """A notice for each side that ties names which both sides have and the other does not tie.

    Ties are no values: they say which names share one memory, and change no exit code.
    """
    shared = [key for key in ours if key in theirs]
    one, other = _groups(ours, shared), _groups(theirs, shared)
    told = []
    for letter, rest, mine, others in (("A", "B", one, other), ("B", "A", other, one)):
        lone = [group for group in mine if not any(group <= known for known in others)]
        if lone:
            tensors = ours if letter == "A" else theirs
            named = ", ".join(sorted(tensors[key].side.place for key in lone[0]))
            more = f" and {len(lone) - 1:,} more" if len(lone) > 1 else ""
            told.append(
                Notice("info", "ties", f"{named}{more}: one memory in {letter}, not in {rest}")
            )
    return told


def _groups(tensors: _Tensors, keys: list[tuple[Any, ...]]) -> list[frozenset[tuple[Any, ...]]]:
    found: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key in keys:
        node = tensors[key].node
        if node.numel:
            found.setdefault(node.same_view(), []).append(key)
    return [frozenset(group) for group in found.values() if len(group) > 1]
