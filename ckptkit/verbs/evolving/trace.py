"""What became of every name of a state while operations ran over it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ckptkit.algebra import Step
from ckptkit.nodes import Node, Path
from ckptkit.report.values import Line
from ckptkit.verbs.evolving.names import METADATA


class Gone(NamedTuple):
    """Where the leaves below ``source`` are now; nowhere, if ``targets`` is empty.

    ``exact``: the very same node lies at the one target; else its values went into all of them.
    """

    source: Path
    targets: tuple[Path, ...]
    exact: bool
    note: str


class Trace:
    """Follows names from the first state to the last."""

    def __init__(self, state: dict[str, Node]) -> None:
        self._first = state
        self._origins: dict[str, tuple[str, ...]] = {
            name: (name,) for name in state
        }  # now -> first names
        self._by: dict[str, tuple[str, ...]] = {}  # now -> operations that made it
        self._dropped: dict[str, str] = {}  # first name -> the operation that dropped it

    def follow(self, step: Step) -> None:
        """Take note of one operation."""
        origins, by = dict(self._origins), dict(self._by)
        said = str(step.operation)
        for action in step.actions:
            for name in action.sources:
                origins.pop(name, None)
                by.pop(name, None)
        for action in step.actions:
            first = [one for name in action.sources for one in self._origins.get(name, ())]
            made_by = [one for name in action.sources for one in self._by.get(name, ())]
            for name in action.targets:
                origins[name] = tuple(dict.fromkeys(first))
                by[name] = (*dict.fromkeys(made_by), said)
            if not action.targets:
                self._dropped |= dict.fromkeys(first, said)
        self._origins, self._by = origins, by

    def gone(self, state: dict[str, Node], above: Path) -> list[Gone]:
        """One for each first name that is not where it was, below ``above`` on both sides."""
        targets: dict[str, list[str]] = {name: [] for name in self._first}
        for name, first in self._origins.items():
            for one in first:
                targets[one].append(name)
        moved: list[Gone] = []
        for one, names in targets.items():
            node = self._first[one]
            if names == [one] and state[one] is node:
                continue
            exact = len(names) == 1 and state[names[0]] is node
            note = self._note(one, names) if not exact else "renamed"
            places = tuple((*above, name) for name in names)
            moved.append(Gone((*above, one), places, exact, note))
        if moved:  # which module had which version: under the paths that the modules have now
            place = (*above, f".{METADATA}")
            moved.append(Gone(place, (place,), exact=False, note="under the modules' new paths"))
        return moved

    def _note(self, one: str, names: list[str]) -> str:
        if not names:
            return f"dropped by {self._dropped.get(one, 'a migrator')}"
        return "; ".join(dict.fromkeys(by for name in names for by in self._by.get(name, ())))

    def lines(self, state: dict[str, Node]) -> Iterable[Line]:
        """One for each name that an operation made, and for each that is gone."""
        for name, first in self._origins.items():
            if name in self._by:
                nbytes = getattr(state[name], "nbytes", 0)
                detail = "; ".join(self._by[name])
                yield Line("migrated", name, ", ".join(first), detail, nbytes)
        kept = {one for first in self._origins.values() for one in first}
        for one, operation in self._dropped.items():
            if one not in kept:
                nbytes = getattr(self._first[one], "nbytes", 0)
                yield Line("dropped", one, detail=f"by {operation}", nbytes=nbytes)
