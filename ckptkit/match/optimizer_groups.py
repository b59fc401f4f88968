"""From which stored param_group each live one takes its hyper-parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ckptkit.match.settings import is_same
from ckptkit.match.values import LiveParameter, StoredParameter

Groups = tuple[int | None, ...]


def match_groups(
    stored: Sequence[StoredParameter],
    live: Sequence[LiveParameter],
    pairs: Sequence[tuple[int, int]],
    settings: Sequence[Mapping[str, Any]],
) -> tuple[Groups, list[str]]:
    """Choose for each live group the stored one that most of its parameters come from.

    Of equally many the first. A live group of new parameters takes none. Where nothing is paired,
    groups of equal number and sizes stand for each other. ``settings`` are those of the stored
    groups, where known: groups that differ in nothing need no note.
    """
    from_group = {item.number: item.group for item in stored}
    to_group = {item.number: item.group for item in live}
    votes: dict[int, Counter[int]] = {}
    for source, target in pairs:
        votes.setdefault(to_group[target], Counter())[from_group[source]] += 1
    count = max(to_group.values(), default=-1) + 1
    if not pairs and sizes(stored) == sizes(live):
        return tuple(range(count)), []
    chosen: list[int | None] = []
    notes = []
    for group in range(count):
        found = votes.get(group, Counter())
        best = min(found, key=lambda number: (-found[number], number)) if found else None
        chosen.append(best)
        others = sorted(n for n in found if best is not None and _differ(settings, best, n))
        if others:
            parts = " and ".join(f"{found[n]} from group {n}" for n in sorted(found))
            notes.append(
                f"the parameters of group {group} were {parts} of the checkpoint; it takes the "
                f"hyper-parameters of group {best}"
            )
    return tuple(chosen), notes


def sizes(items: Sequence[StoredParameter] | Sequence[LiveParameter]) -> tuple[int, ...]:
    """How many parameters each group has."""
    counts = Counter(item.group for item in items)
    return tuple(counts[group] for group in range(max(counts, default=-1) + 1))


def _differ(settings: Sequence[Mapping[str, Any]], one: int, other: int) -> bool:
    if one == other:
        return False
    if max(one, other) >= len(settings):
        return True
    return not is_same(settings[one], settings[other])
