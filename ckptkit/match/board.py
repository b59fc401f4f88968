"""What is still free on both sides while a match is being made, and what is already claimed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from ckptkit.match.values import Ambiguity, Entry


class Claim(NamedTuple):
    """A stored name taken for a wanted one; ``factor`` is a stored mask to multiply by."""

    source: str
    how: str
    factor: str = ""


class Board:
    """Both sides of one match. Mutable, and seen by the steps of ``plan_load`` alone.

    ``stored`` and ``wanted`` hold every entry by its own name. ``free_stored`` and
    ``free_wanted`` map those that nobody took to what they are called for comparing: first after
    the rename rules, later without wrappers.
    """

    def __init__(self, stored: Sequence[Entry], wanted: Sequence[Entry]) -> None:
        self.stored = {entry.name: entry for entry in stored}
        self.wanted = {entry.name: entry for entry in wanted}
        self.free_stored = {name: name for name in self.stored}
        self.free_wanted = {name: name for name in self.wanted}
        self.claims: dict[str, Claim] = {}  # by wanted name
        self.renamed: set[str] = set()  # stored names that a rule of the policy changed
        self.clashing: set[str] = set()  # stored names that rules made one: they fill nothing
        self.defaulted: set[str] = set()  # wanted names that keep their value
        self.benign: set[str] = set()  # stored names that are derivable
        self.ambiguities: dict[str, Ambiguity] = {}
        self.notes: list[str] = []

    def claim(self, target: str, source: str, how: str, factor: str = "") -> None:
        """Take ``source`` (and ``factor``) for ``target``; all must be free."""
        for taken in filter(None, (source, factor)):
            del self.free_stored[taken]
        del self.free_wanted[target]
        rule = how in ("exact", "prefix") and source in self.renamed
        self.claims[target] = Claim(source, "rename" if rule else how, factor)

    def claim_equal(self, key: Callable[[str], str], how: str) -> None:
        """Take every pair whose ``key`` is equal and stands once on either side."""
        targets = unique(self.free_wanted, key)
        for found, source in unique(self.free_stored, key).items():
            target = targets.get(found)
            if target is None:
                continue
            if self.renamed:
                self.claim(target, source, how)
            else:  # what ``claim`` comes to for nearly every name of nearly every model
                del self.free_stored[source], self.free_wanted[target]
                self.claims[target] = Claim(source, how)

    def confuse(self, name: str, side: str, candidates: Iterable[str]) -> None:
        """Record that a name could be several; the first record of a name stays."""
        self.ambiguities.setdefault(name, Ambiguity(name, side, tuple(sorted(candidates))))

    def tensors(self, side: str) -> dict[str, str]:
        """Return the free names of "stored" or "wanted" that are tensors, as now called."""
        entries, free = (
            (self.stored, self.free_stored) if side == "stored" else (self.wanted, self.free_wanted)
        )
        return {name: now for name, now in free.items() if entries[name].dtype}


def unique(called: Mapping[str, str], key: Callable[[str], str]) -> dict[str, str]:
    """Map ``key`` of what each name is called to the name, leaving out keys that several have."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for name, now in called.items():
        word = key(now)
        if word in found:
            twice.add(word)
        else:
            found[word] = name
    for word in twice:
        del found[word]
    return found
