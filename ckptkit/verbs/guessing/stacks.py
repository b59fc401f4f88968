"""Tensors of one shape that became one with an axis more, and the reverse."""

from __future__ import annotations

import re

from ckptkit.algebra import Operation, Stack, Unstack
from ckptkit.verbs.guessing.draft import Draft
from ckptkit.verbs.guessing.families import Row, generalised

_NUMBER = re.compile(r"(?<![0-9])(?:0|[1-9][0-9]*)(?![0-9])")
_INDEX = "RUNNING_NUMBER"  # stands for {} while names are compared: no name has it
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
    rows: list[Row] = []
    for name, shape in whole.items():
        fits = [
            family
            for family, own in families.items()
            if shape == (own[0], *own[1]) and _are_alike(name, family)
        ]
        if len(fits) == 1:
            rows.append((fits[0], name) if stack else (name, fits[0]))
            continue
        for family in fits:
            draft.ask(f"is {name} the stack of these?", _operation((family, name), stack=True)
                      if stack else _operation((name, family), stack=False))  # fmt: skip
    for row in generalised(rows, [*draft.state, *(row[0] for row in rows)]):
        draft.accept(_operation(row, stack=stack), "names and shapes")


def _operation(row: Row, *, stack: bool) -> Operation:
    one, other = (text.replace(_INDEX, "{}") for text in row)
    return Stack(one, other) if stack else Unstack(one, other)


def _families(shapes: Shapes) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Names with one number each left open -> how many there are, and their shape."""
    members: dict[str, dict[int, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        for found in _NUMBER.finditer(name):
            family = name[: found.start()] + _INDEX + name[found.end() :]
            members.setdefault(family, {})[int(found[0])] = shape
    return {
        family: (len(own), next(iter(own.values())))
        for family, own in members.items()
        if set(own) == set(range(len(own))) and len(set(own.values())) == 1 and len(own) > 1
    }


def _are_alike(name: str, family: str) -> bool:
    """Say whether every word of the shorter name is in the other, and all numbers in both."""
    if _NUMBER.findall(name) != _NUMBER.findall(family):
        return False
    words = ({*_WORD.findall(text)} - {"weight", _INDEX} for text in (name, family))
    one, other = words
    return one <= other or other <= one
