"""Names that differ in their numbers only, as one: 32 layers are renamed by one decision."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple

from ckptkit.match.values import Entry
from ckptkit.types import DTYPES

_NUMBER = re.compile(r"(?<![0-9])[0-9]+(?![0-9])")
_MAX_DEPTH = 16  # segments of a name that are compared, from its end


class Family(NamedTuple):
    """One pattern and its members: what was put for each ``#`` -> the name.

    ``form`` is equal for families whose members agree one to one in numbers, shape and kind.
    """

    pattern: str
    form: Hashable
    members: Mapping[tuple[str, ...], str]

    def suffixes(self) -> Iterator[str]:
        """Every end of the pattern at a dot, longest first."""
        pattern, at = self.pattern, 0
        deep = pattern.count(".") - _MAX_DEPTH
        while True:
            if deep < 0:
                yield pattern[at:]
            deep -= 1
            at = pattern.find(".", at) + 1
            if not at:
                return


def pattern_of(name: str) -> str:
    """``layers.#.weight`` for ``layers.3.weight``."""
    return _NUMBER.sub("#", name)


def families(
    called: Mapping[str, str], entries: Mapping[str, Entry], *, by_number: bool
) -> list[Family]:
    """Group names by pattern (or leave each alone), sorted by pattern."""
    grouped: dict[str, dict[tuple[str, ...], str]] = {}
    for name, now in called.items():
        pattern = pattern_of(now) if by_number else now
        numbers = tuple(_NUMBER.findall(now)) if by_number else ()
        grouped.setdefault(pattern, {})[numbers] = name
    return [
        Family(pattern, _form(members, entries), members)
        for pattern, members in sorted(grouped.items())
    ]


def _form(members: Mapping[tuple[str, ...], str], entries: Mapping[str, Entry]) -> Hashable:
    return frozenset(
        (numbers, entries[name].shape, DTYPES[entries[name].dtype].kind)
        for numbers, name in members.items()
    )
