"""The planner of optimizers: state by name, settings by policy, the rest as torch means it."""

from __future__ import annotations

from typing import Any

from ckptkit.errors import OptimizerMatchError, SettingConflictError
from ckptkit.nodes import Node
from ckptkit.report.values import ComponentReport
from ckptkit.torch_bridge.optimizers import Given, hand_over, keeps_flat_state, make_state
from ckptkit.types import Coverage
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.optimizer_groups import Source
from ckptkit.verbs.restoring.optimizer_lines import lossy_notes, parameter_lines, strange_state
from ckptkit.verbs.restoring.optimizer_match import Matched, match_parameters
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.rates import settle_groups
from ckptkit.verbs.restoring.sections import Place, find_place
from ckptkit.verbs.restoring.state_gaps import without_gaps
from ckptkit.verbs.restoring.stored_optimizer import (
    StoredOptimizer,
    is_optimizer,
    parse_optimizer,
)

KIND = "optimizer"


def plan_optimizer_component(name: str, live: Any, request: Request) -> Planned:
    """Plan one optimizer; a Planner."""
    place = find_place(name, KIND, request, is_optimizer)
    if place.node is None:
        return absent(name, KIND, place, request)
    try:
        stored = parse_optimizer(place.source, place.node)
    except OptimizerMatchError as exc:
        report = ComponentReport(
            name=name, kind=KIND, status="refused", source=place.source, faults=(str(exc),)
        )
        return Planned(report, error=OptimizerMatchError)
    matched = match_parameters(stored, live, request)
    return _planned(name, live, request, place, matched)


def _planned(name: str, live: Any, request: Request, place: Place, found: Matched) -> Planned:
    stored = found.source
    gaps = without_gaps(name, place.source, found, request)
    matched = gaps.matched
    settled = settle_groups(name, live, request, Source(stored, matched.plan.groups))
    faults = (
        *matched.plan.faults,
        *_empty_fault(found),
        *gaps.faults,
        *(_flat_fault(found) if keeps_flat_state(live) else ()),
        *strange_state(matched),
        *settled.faults,
    )
    report = ComponentReport(
        name=name,
        kind=KIND,
        status=_status(matched, faults, is_whole=not gaps.lines),
        source=place.source,
        coverage=_coverage(matched),
        lines=(*gaps.lines, *parameter_lines(matched)),
        settings=settled.rows,
        faults=faults,
        notes=(*matched.plan.notes, *_by_note(matched), *gaps.notes, *settled.notes,
               *lossy_notes(matched)),
    )  # fmt: skip
    given = _given(place, matched)
    state: dict[int, Any] = {}

    def prepare() -> Any:
        made, fills = make_state(live, settled.groups, given, request.device)
        state.update(made)
        return fills

    def finish() -> None:
        loose = {key: value for key, value in stored.loose if isinstance(key, str)}
        hand_over(live, state, settled.groups, _other(stored), loose)

    error = SettingConflictError if faults == settled.conflicts else OptimizerMatchError
    return Planned(report, prepare, finish, error=error)


def _given(place: Place, matched: Matched) -> list[Given]:
    given = []
    for source, target in matched.plan.pairs:
        node = matched.source.states[source]
        if node is not None and len(node):
            label = matched.stored[source].name or str(source)
            given.append(Given(target, node, f"{place.source}/state/{label}"))
    return given


def _other(stored: StoredOptimizer) -> dict[Any, Node]:
    return {key: value for key, value in stored.other if isinstance(key, str)}


def _coverage(matched: Matched) -> Coverage:
    taken = {target for _, target in matched.plan.pairs}
    nbytes = sum(size for number, size in enumerate(matched.nbytes) if number in taken)
    return Coverage(len(taken), len(matched.live), nbytes, sum(matched.nbytes))


def _status(matched: Matched, faults: tuple[str, ...], *, is_whole: bool) -> str:
    plan = matched.plan
    if faults:
        return "refused"
    in_part = plan.fresh or plan.dropped or plan.reshaped or not is_whole
    return "partly" if in_part else "restored"


def _empty_fault(matched: Matched) -> tuple[str, ...]:
    """Loading nothing is always an error: then these are two different models."""
    if matched.plan.faults or matched.plan.pairs or not (matched.stored and matched.live):
        return ()
    told = (
        f"none of the {len(matched.live)} parameters of this optimizer is among the "
        f"{len(matched.stored)} of the checkpoint"
    )
    return (told,)


def _flat_fault(matched: Matched) -> tuple[str, ...]:
    """One vector over all parameters fits the very same parameters in the very same order."""
    count = len(matched.live)
    same = len(matched.stored) == count and matched.plan.pairs == tuple(
        (number, number) for number in range(count)
    )
    if same or matched.plan.faults:
        return ()
    told = (
        "its history is one vector over all parameters, and their order or shapes are not those "
        "of the checkpoint; leave it out of the targets to begin with a new history"
    )
    return (told,)


def _by_note(matched: Matched) -> tuple[str, ...]:
    words = {
        "inferred name": "nobody stored names: the order of the stored model is taken, because the "
        "live optimizer lists its model's order",
        "order": "nobody stored names: matched in order, because every shape agrees one to one",
    }
    if any(item.name for item in matched.stored):
        words["order"] = (
            "no module among the targets names its parameters: matched in order, because every "
            "shape agrees one to one"
        )
    word = words.get(matched.plan.by) if matched.plan.pairs else None
    return () if word is None or matched.plan.notes else (word,)
