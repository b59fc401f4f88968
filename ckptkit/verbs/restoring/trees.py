"""The planner of plain data: dicts and lists are brought up to date where they are."""

from __future__ import annotations

from typing import Any

from ckptkit.errors import MismatchError
from ckptkit.report.values import ComponentReport, Line
from ckptkit.torch_bridge.trees import TreeFill, is_array
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import NOTHING, Place
from ckptkit.verbs.restoring.stateful import coverage_of

KIND = "tree"


def plan_tree_component(name: str, live: Any, request: Request) -> Planned:
    """Plan one dict, list or tensor whose section bears its name; a Planner.

    A dict gets the stored values, key by key, and keeps keys of its own; a list becomes the
    stored one; tensors of the same shape and dtype are filled where they lie. None takes
    nothing: the report says what is there. Anything else cannot be changed in place.
    """
    document = request.checkpoint.document
    place = Place(name, document.get(name), "" if name in document else NOTHING)
    if live is None:
        return _nothing(name, place)
    if not isinstance(live, (dict, list)) and not is_array(live):
        return _refused(name, live)
    if place.why:
        return absent(name, KIND, place, request)
    return _filled(name, live, place)


def _nothing(name: str, place: Place) -> Planned:
    coverage = coverage_of(place.node)
    note = "asked for nothing: " + (
        place.why
        or f"the section has {coverage.of_tensors} tensors of {coverage.of_nbytes} bytes, "
        "and Checkpoint.state() gives them"
    )
    return Planned(ComponentReport(name=name, kind=KIND, status="fresh", notes=(note,)))


def _refused(name: str, live: Any) -> Planned:
    fault = (
        f"{name}: a {type(live).__name__} is no dict, list or tensor that can be filled in place; "
        "take its value from Checkpoint.state() instead"
    )
    report = ComponentReport(name=name, kind=KIND, status="refused", faults=(fault,))
    return Planned(report, error=MismatchError)


def _filled(name: str, live: Any, place: Place) -> Planned:
    fill = TreeFill(live, place.node)
    faults = tuple(f"{name}: {fault}" for fault in fill.faults)
    report = ComponentReport(
        name=name,
        kind=KIND,
        status="refused" if faults else "restored",
        source=place.source,
        coverage=coverage_of(place.node),
        lines=tuple(
            Line("defaulted", path, detail="not in the checkpoint; stays") for path in fill.extra
        ),
        faults=faults,
        notes=tuple(fill.notes),
    )
    return Planned(report, lambda: fill.prepare(place.source), fill.finish, error=MismatchError)
