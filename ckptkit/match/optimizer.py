"""Whose optimizer state goes to whom: by name, by names that the stored model proves, by order.

A wrong answer is silent: two parameters of one shape that swap their state train on, worse.
So state is paired only where something proves whose it is; ``order`` says what counts as proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptkit.match.faults import some
from ckptkit.match.optimizer_groups import match_groups
from ckptkit.match.order import Evidence, Reading, read_order
from ckptkit.match.prefixes import bare
from ckptkit.match.state_shapes import (
    broad,
    described,
    has_state,
    is_foreign,
    is_orderless,
    known_shape,
    may_have,
)
from ckptkit.match.values import LiveParameter, OptimizerPlan, Shape, StoredParameter

NOTHING: Mapping[str, str] = {}


def plan_optimizer(
    stored: Sequence[StoredParameter],
    live: Sequence[LiveParameter],
    *,
    renamed: Mapping[str, str] = NOTHING,
    model_order: Sequence[tuple[str, Shape]] = (),
    live_order: Sequence[str] = (),
    order_kept: bool = False,
    settings: Sequence[Mapping[str, Any]] = (),
) -> OptimizerPlan:
    """Pair stored state with live parameters; refuse, with the reason, what nothing proves.

    ``renamed``: stored name -> live name, from the LoadPlan of the model, in its order.
    ``model_order``: names and shapes of the stored model's parameters, in the order of its
    state_dict. ``live_order``: the live model's names in its order; left out, it is taken from
    ``renamed``. ``order_kept``: the file is known to keep the order in which the model gave its
    names (torch's own files do, safetensors sorts them); left out, it is judged by the names.
    ``settings``: of the stored groups, to tell whether they differ.
    """
    items = tuple(stored)
    if not items or not live:
        return OptimizerPlan(
            fresh=tuple(item.number for item in live),
            dropped=tuple(item.number for item in items),
            groups=match_groups(items, live, (), settings)[0] if items else _none(live),
        )
    follows = tuple(live_order) or tuple(dict.fromkeys(renamed.values()))
    evidence = Evidence(renamed, tuple(model_order), follows, order_kept)
    reading = _read(items, tuple(live), evidence)
    return _concluded(items, tuple(live), reading, settings)


def _none(live: Sequence[LiveParameter]) -> tuple[None, ...]:
    return (None,) * (max((item.group for item in live), default=-1) + 1)


def _read(
    stored: tuple[StoredParameter, ...], live: tuple[LiveParameter, ...], evidence: Evidence
) -> Reading:
    are_named = any(item.name for item in stored) and any(item.name for item in live)
    if are_named:
        return _by_name(stored, live, evidence.renamed)
    if is_orderless(stored, live):
        pairs = tuple(zip((s.number for s in stored), (p.number for p in live), strict=False))
        note = "it keeps no tensors for its parameters, so their order does not matter"
        return Reading(pairs if len(stored) == len(live) else (), "order", notes=(note,))
    return read_order(stored, live, evidence)


def _by_name(
    stored: tuple[StoredParameter, ...],
    live: tuple[LiveParameter, ...],
    renamed: Mapping[str, str],
) -> Reading:
    """Pair equal names, after the model's own renames; then names equal without wrappers."""
    faults = _nameless(stored, live)
    targets, twice = _unique([(item.name, item.number) for item in live])
    told = {item.number: renamed[item.name] for item in stored if item.name in renamed}
    taken = set(told.values())
    told |= {
        item.number: item.name for item in stored
        if item.number not in told and item.name and item.name not in taken
    }  # fmt: skip
    sources, clashing = _unique([(name, number) for number, name in told.items()])
    pairs = {number: targets[name] for name, number in sources.items() if name in targets}
    left = [(bare(n), number) for n, number in sources.items() if number not in pairs]
    done = set(pairs.values())
    open_to = [(bare(n), number) for n, number in targets.items() if number not in done]
    bare_live, _ = _unique(open_to)
    pairs |= {number: bare_live[n] for n, number in _unique(left)[0].items() if n in bare_live}
    for side, names in (("stored", clashing), ("live", twice)):
        if names:
            faults.append(f"{len(names)} names belong to two {side} parameters: {some(names)}")
    return Reading(tuple(sorted(pairs.items())), "name", tuple(faults))


def _nameless(stored: Sequence[StoredParameter], live: Sequence[LiveParameter]) -> list[str]:
    """Parameters without a name among named ones: nothing says whose state theirs is."""
    faults = []
    lost = [item for item in stored if not item.name and has_state(item)]
    if lost:
        faults.append(
            f"{len(lost)} of {len(stored)} stored parameters have state and no name, "
            f"{described(lost[0])} first: nothing says whose it is"
        )
    blank = sum(not item.name for item in live)
    if blank:
        faults.append(
            f"{blank} of {len(live)} live parameters have no name, because they belong to none of "
            "the modules that are restored: name those modules as targets, too"
        )
    return faults


def _unique(rows: Sequence[tuple[str, int]]) -> tuple[dict[str, int], list[str]]:
    """Names that stand once, and those that stand twice; "" is no name."""
    found: dict[str, int] = {}
    twice: dict[str, None] = {}
    for name, number in rows:
        if name in found:
            twice[name] = None
        elif name:
            found[name] = number
    return {name: number for name, number in found.items() if name not in twice}, list(twice)


class _Fitting(NamedTuple):
    pairs: tuple[tuple[int, int], ...]
    reshaped: tuple[tuple[int, int], ...]
    foreign: tuple[StoredParameter, ...]


def _fitting(
    stored: Sequence[StoredParameter], live: Sequence[LiveParameter], reading: Reading
) -> _Fitting:
    """Part the pairs whose shapes agree from those whose shape changed, and from foreign state."""
    sources = {item.number: item for item in stored}
    targets = {item.number: item for item in live}
    pairs, reshaped, foreign = [], [], []
    for source, target in reading.pairs:
        item, shape = sources[source], targets[target].shape
        own = known_shape(item, (shape,))
        if is_foreign(item, own if own is not None else shape) and _is_flat(item, own, shape):
            foreign.append(item)
            pairs.append((source, target))
        elif may_have(item, shape):
            pairs.append((source, target))
        else:
            reshaped.append((source, target))
    return _Fitting(tuple(pairs), tuple(reshaped), tuple(foreign))


def _is_flat(item: StoredParameter, own: Shape | None, shape: Shape) -> bool:
    """Where its own shape is unknown, state of the same rank is that of a reshaped parameter."""
    return own is not None or all(len(found) != len(shape) for _, found in broad(item))


def _concluded(
    stored: tuple[StoredParameter, ...],
    live: tuple[LiveParameter, ...],
    reading: Reading,
    settings: Sequence[Mapping[str, Any]],
) -> OptimizerPlan:
    fitting = _fitting(stored, live, reading)
    faults = [*reading.faults, *_foreign_fault(stored, live, fitting)]
    if not fitting.pairs and not faults and any(map(has_state, stored)):
        faults.append(
            f"none of the {len(stored)} stored parameters is one of the {len(live)} live ones "
            f"({_first(stored)} was stored, {_first(live)} is live): this is the optimizer of "
            "another model"
        )
    groups, notes = match_groups(stored, live, fitting.pairs, settings)
    filled = {target for _, target in fitting.pairs}
    used = {source for source, _ in fitting.pairs}
    return OptimizerPlan(
        pairs=fitting.pairs,
        fresh=tuple(item.number for item in live if item.number not in filled),
        dropped=tuple(item.number for item in stored if item.number not in used),
        reshaped=fitting.reshaped,
        groups=groups,
        by=reading.by,
        called=reading.called,
        faults=tuple(faults),
        notes=(*reading.notes, *notes),
    )


def _first(items: Sequence[StoredParameter] | Sequence[LiveParameter]) -> str:
    return items[0].name or f"number {items[0].number}"


def _foreign_fault(
    stored: Sequence[StoredParameter], live: Sequence[LiveParameter], fitting: _Fitting
) -> list[str]:
    """State over all parameters at once holds only if they are the same, in the same order."""
    if not fitting.foreign:
        return []
    same = tuple(zip((s.number for s in stored), (p.number for p in live), strict=False))
    if len(stored) == len(live) and sorted(fitting.pairs) == sorted(same) and not fitting.reshaped:
        return []
    first = described(fitting.foreign[0])
    sentence = (
        f"the state of {first} is not that of one parameter: it is laid over all {len(stored)} "
        f"stored parameters in their order, and the live optimizer has {len(live)} in another "
        "order or of other shapes; start it fresh, or build it as it was"
    )
    return [sentence]
