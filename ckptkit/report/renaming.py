"""A few regular expressions for many renames, proved on every one of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MAX_RULES = 3
_NUMBER = re.compile(r"(?<![0-9])([0-9]+)(?![0-9])")


def rename_rules(pairs: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """At most three (pattern, replacement) that turn each source into its target by ``re.sub``.

    The pattern begins at the start of a name and ends behind the last step that changes. Nothing
    is returned where so few do not do it, or where one would undo another.
    """
    rules = tuple(dict.fromkeys(_rule(source, target) for source, target in pairs))
    if not rules or len(rules) > _MAX_RULES or any(old == "^" for old, _ in rules):
        return ()
    for source, target in pairs:
        name = source
        for old, new in rules:
            name = re.sub(old, new, name)
        if name != target:
            return ()
    return rules


def _rule(source: str, target: str) -> tuple[str, str]:
    old, new = _without_shared_end(source, target)
    olds, news = _NUMBER.split(old), _NUMBER.split(new)
    taken: dict[int, int] = {}  # where in the new name a number stands, and where in the old one
    for i in range(1, len(news), 2):
        same = [k for k in range(1, len(olds), 2) if olds[k] == news[i] and k not in taken.values()]
        if same:
            taken[i] = same[0]
    caught = {k: n for n, k in enumerate(sorted(taken.values()), 1)}
    pattern = "".join(r"(\d+)" if k in caught else _quoted(part) for k, part in enumerate(olds))
    replacement = "".join(
        _back(caught[taken[i]], news[i + 1]) if i in taken else part.replace("\\", r"\\")
        for i, part in enumerate(news)
    )
    return f"^{pattern}" + ("" if old.endswith(".") or not old else "$"), replacement


def _back(group: int, follower: str) -> str:
    """A reference that no digit behind it can change."""
    return rf"\g<{group}>" if follower[:1].isdigit() else rf"\{group}"


def _quoted(text: str) -> str:
    """As ``re.escape``, but a person can read it: what means nothing in a pattern stays."""
    return "".join(f"\\{char}" if char in r"\.^$*+?{}[]|()" else char for char in text)


def _without_shared_end(one: str, other: str) -> tuple[str, str]:
    """Both names without the steps at their ends that are the same; of the first one stays."""
    ones, others = one.split("."), other.split(".")
    n = 0
    while n < min(len(ones) - 1, len(others)) and ones[-1 - n] == others[-1 - n]:
        n += 1
    if not n:
        return one, other
    return ".".join(ones[:-n]) + ".", "".join(f"{step}." for step in others[:-n])
