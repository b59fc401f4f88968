"""Operations on names alone: their tensors, and any other values, stay the very same objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ckptkit.algebra.operation import Action, Operation, State
from ckptkit.algebra.patterns import fill, invert, match
from ckptkit.algebra.spelling import spelled_call
from ckptkit.nodes import Node


@dataclass(frozen=True, slots=True, repr=False)
class Rename(Operation):
    r"""Names become others, all at once, so that two can change places.

    ``names``: pattern -> template, such as ``{r"blocks.(\d+).(.*)": r"layers.\1.\2"}``; of several
    patterns that match, the first one counts.
    """

    names: Mapping[str, str] | tuple[tuple[str, str], ...]

    NAMED: ClassVar[tuple[str, ...]] = ("names",)

    def __post_init__(self) -> None:
        """Keep pairs, which can be compared and hashed."""
        pairs = self.names.items() if isinstance(self.names, Mapping) else self.names
        object.__setattr__(self, "names", tuple((old, new) for old, new in pairs))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The patterns and their templates."""
        assert isinstance(self.names, tuple)
        return self.names

    def actions(self, state: State) -> list[Action]:
        """One for each name that one of the patterns matches."""
        found = []
        for name in state:
            for old, new in self.pairs:
                matched = match(old, name)
                if matched is not None:
                    found.append(Action((name,), (fill(new, matched.groups, matched.number),)))
                    break
        return found

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:  # noqa: ARG002
        """The very same nodes."""
        return nodes

    def inverse(self) -> Operation:
        """The names change back. Raises: MigrationError if a new name forgets a group."""
        back = [invert(old, (new,)) for old, new in self.pairs]
        return Rename(tuple((new, olds[0]) for new, olds in back), optional=self.optional)

    def _recipe(self, nodes: tuple[Node, ...]) -> None:  # noqa: ARG002
        return None

    def __repr__(self) -> str:
        """The code that makes it."""
        marks = {name: True for name in ("optional", "one_way") if getattr(self, name)}
        return spelled_call("Rename", [("names", dict(self.pairs), None)], marks)


@dataclass(frozen=True, slots=True, repr=False)
class Drop(Operation):
    """Names go, with their tensors; the report lists them. ``names``: one pattern, or several.

    There is no way back.
    """

    names: str | tuple[str, ...]

    NAMED: ClassVar[tuple[str, ...]] = ("names",)

    def actions(self, state: State) -> list[Action]:
        """One for each name that one of the patterns matches."""
        patterns = (self.names,) if isinstance(self.names, str) else self.names
        return [
            Action((name,), ())
            for name in state
            if any(match(pattern, name) is not None for pattern in patterns)
        ]

    def make(self, where: str, nodes: tuple[Node, ...]) -> tuple[Node, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()
