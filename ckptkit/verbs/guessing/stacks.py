"""Tensors of one shape that became one with an axis more, and the reverse."""

from __future__ import annotations

import re

from ckptkit.algebra import Operation, Stack, Unstack
from ckptkit.algebra.patterns import literal
from ckptkit.verbs.guessing.draft import Draft

_NUMBER = re.compile(r"(?<![0-9])(?:0|[1-9][0-9]*)(?![0-9])")
_WORD = re.compile(r"[A-Za-z]+[A-Za-z0-9]*")


def find_stacks(draft: Draft) -> None:
    """Ask about every tensor that could be a stack of others; take up what is the only way."""
    stored, wanted = draft.left()
    shapes = {name: draft.shape(name) for name in stored}
    goals = {name: draft.wanted[name].shape for name in wanted}
    _find(draft, shapes, goals, stack=True)
    stored, wanted = draft.left()
    shapes = {name: draft.shape(name) for name in stored}
    goals = {name: draft.wanted[name].shape for name in wanted}
    _find(draft, goals, shapes, stack=False)


Shapes = dict[str, tuple[int, ...]]


def _find(draft: Draft, apart: Shapes, whole: Shapes, *, stack: bool) -> None:
    """Look for families of ``apart`` that are one of ``whole``."""
    families = _families(apart)
    for name, shape in whole.items():
        fits = [
            family
            for family, own in families.items()
            if shape == (own[0], *own[1]) and _are_alike(name, family)
        ]
        operations: list[Operation] = [
            Stack(family, literal(name)) if stack else Unstack(literal(name), family)
            for family in fits
        ]
        if len(operations) == 1 and draft.accept(operations[0], "names and shapes"):
            continue
        for operation in operations:
            draft.ask(f"is {name} the stack of these?", operation)


def _families(shapes: Shapes) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Names with one number each left open -> how many there are, and their shape."""
    members: dict[str, dict[int, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        for found in _NUMBER.finditer(name):
            start, stop = literal(name[: found.start()]), literal(name[found.end() :])
            members.setdefault(f"{start}{{}}{stop}", {})[int(found[0])] = shape
    return {
        family: (len(own), next(iter(own.values())))
        for family, own in members.items()
        if set(own) == set(range(len(own))) and len(set(own.values())) == 1 and len(own) > 1
    }


def _are_alike(name: str, family: str) -> bool:
    """Say whether every word of the shorter name is in the other."""
    one, other = ({*_WORD.findall(text)} - {"weight"} for text in (name, family))
    return one <= other or other <= one
