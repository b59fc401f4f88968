"""Which parameters' state in a file is not whole: what recover could not save, what is half there.

An optimizer takes half a state without a word and fails at its next step, or goes on wrongly with
none where there was one. So such a parameter begins fresh as a whole, and only where the caller
allows it. A parameter that was never stepped has no state in an honest file: that is no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from ckptkit.match.faults import some
from ckptkit.match.values import Shape
from ckptkit.report.values import Line
from ckptkit.tree import path_text
from ckptkit.verbs.recovered_mark import lost_names
from ckptkit.verbs.restoring.absent import is_allowed
from ckptkit.verbs.restoring.optimizer_match import Matched
from ckptkit.verbs.restoring.planned import Request

_STEP = "step"


class Gaps(NamedTuple):
    """What is left of the match without the gaps, and what is said of them."""

    matched: Matched
    lines: tuple[Line, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def without_gaps(name: str, source: str, matched: Matched, request: Request) -> Gaps:
    """Take the parameters whose state is not whole out of the pairs; they begin fresh.

    ``name`` is the component, ``source`` its place in the checkpoint. ``allow_missing`` matches
    the names of the parameters, alone or behind that of the component (``optimizer/*``).
    """
    found = {**_half_there(matched), **_lost(source, matched, request)}
    if not found:
        return Gaps(matched, notes=_never_stepped(matched))
    plan = matched.plan
    targets = [(target, found[number]) for number, target in plan.pairs if number in found]
    names = [matched.live[target].name or f"parameter {target}" for target, _ in targets]
    allowed = request.policy.allow_missing
    refused = [one for one in names if not _is_let(name, one, allowed)]
    lines = tuple(
        Line("fresh" if _is_let(name, one, allowed) else "missing", one, detail=_told(lacking))
        for one, (_, lacking) in zip(names, targets, strict=True)
    )
    faults: tuple[str, ...] = ()
    if refused:
        told = (
            f"{len(refused)} of {len(matched.stored)} states are gone or incomplete in the "
            f"checkpoint: {some(refused)}; allow_missing lets these begin fresh"
        )
        faults = (told,)
    pairs = tuple(pair for pair in plan.pairs if pair[0] not in found)
    return Gaps(matched._replace(plan=replace(plan, pairs=pairs)), lines, faults)


def _is_let(component: str, name: str, allowed: bool | tuple[str, ...]) -> bool:
    return is_allowed(name, allowed) or is_allowed(f"{component}/{name}", allowed)


def _told(lacking: tuple[str, ...]) -> str:
    if not lacking:
        return "its state is gone from the file"
    verb = "is" if len(lacking) == 1 else "are"
    return f"incomplete in the file: {', '.join(lacking)} {verb} missing"


def _lost(source: str, matched: Matched, request: Request) -> Mapping[int, tuple[str, ...]]:
    """What ``recover`` could not save, by the number of the stored parameter."""
    lost: dict[str, list[str]] = {}
    for name in lost_names(request.checkpoint.document):
        above, _, key = name.rpartition("/")
        while above:
            lost.setdefault(above, []).append(key)
            above = above.rpartition("/")[0]
    found = {}
    for number, key in enumerate(matched.source.keys if lost else ()):
        lacking = lost.get(path_text((*source.split("/"), "state", key)))
        if lacking is not None:
            state = matched.source.states[number]
            is_half = state is not None and len(state)
            found[number] = tuple(dict.fromkeys(lacking)) if is_half else ()
    return found


class _Form(NamedTuple):
    """States of the same keys in one group."""

    keys: frozenset[object]
    shaped: set[object]  # keys whose tensor has the shape of its parameter
    shapes: set[Shape]  # of the parameters that have such a state


def _half_there(matched: Matched) -> dict[int, tuple[str, ...]]:
    """States that lack what others of their group have: all of a shape, or what is as large.

    Families of optimizers keep other keys for other shapes (rows and columns of a matrix, tables
    of large tensors alone), so what merely differs is nothing to go by.
    """
    forms: dict[int, dict[frozenset[object], _Form]] = {}
    own: dict[int, tuple[int, frozenset[object], Shape]] = {}
    for number, target in matched.plan.pairs:
        state = matched.source.states[number]
        if state is None or not len(state):
            continue
        keys, shape = frozenset(state), matched.live[target].shape
        group = matched.stored[number].group
        own[number] = group, keys, shape
        form = forms.setdefault(group, {}).setdefault(keys, _Form(keys, set(), set()))
        sizes = matched.stored[number].state_shapes
        form.shaped.update(key for key, size in sizes.items() if size == shape)
        form.shapes.add(shape)
    found = {}
    for number, (group, keys, shape) in own.items():
        if len(forms[group]) > 1:
            lacking = {key for form in forms[group].values() for key in _lacking(keys, shape, form)}
            if lacking:
                found[number] = tuple(sorted(map(str, lacking)))
    return found


def _lacking(keys: frozenset[object], shape: Shape, form: _Form) -> Iterator[object]:
    if keys < form.keys:
        for key in form.keys - keys:
            if key == _STEP or key in form.shaped or shape in form.shapes:
                yield key


def _never_stepped(matched: Matched) -> tuple[str, ...]:
    """Say which parameters have no state where others have: frozen ones, or unused ones."""
    states = [(target, matched.source.states[number]) for number, target in matched.plan.pairs]
    bare = [
        matched.live[target].name or f"parameter {target}"
        for target, own in states
        if own is None or not len(own)
    ]
    if not bare or len(bare) == len(states) or _is_flat(matched):
        return ()
    have = "1 parameter has" if len(bare) == 1 else f"{len(bare):,} parameters have"
    return (f"{have} no state in the file, as if never stepped: {some(bare)}",)


def _is_flat(matched: Matched) -> bool:
    """Whether one state is that of all: the first of several parameters has it (LBFGS)."""
    full = [state for state in matched.source.states if state is not None and len(state)]
    return len(full) == 1 and "func_evals" in full[0]
