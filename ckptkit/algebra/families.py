"""Names that belong together: a pattern, and the templates of its companions."""

from __future__ import annotations

from ckptkit.algebra.operation import Action, Operation, State
from ckptkit.algebra.patterns import fill, invert, match
from ckptkit.errors import MigrationError


def gathered(operation: Operation, names: tuple[str, ...], into: str, state: State) -> list[Action]:
    """Say what becomes one: each name that the first pattern matches, with its companions.

    Raises: MigrationError for a companion that stands alone.
    """
    actions: list[Action] = []
    taken: set[str] = set()
    for name in state:
        hit = match(names[0], name)
        if hit is None:
            continue
        sources = (name, *(fill(other, hit.groups) for other in names[1:]))
        actions.append(Action(sources, (fill(into, hit.groups),)))
        taken.update(sources)
    for other in names[1:]:
        as_pattern, (first,) = invert(names[0], (other,))
        for name in state:
            hit = match(as_pattern, name) if name not in taken else None
            if hit is not None:
                raise MigrationError(
                    str(operation), f"{name} is there without {fill(first, hit.groups)}",
                    "every tensor of a family",
                )  # fmt: skip
    return actions


def scattered(name: str, into: tuple[str, ...], state: State) -> list[Action]:
    """Say what is taken apart: each name that the pattern matches, into a name a template."""
    found = ((one, match(name, one)) for one in state)
    return [
        Action((one,), tuple(fill(part, hit.groups) for part in into))
        for one, hit in found
        if hit is not None
    ]
