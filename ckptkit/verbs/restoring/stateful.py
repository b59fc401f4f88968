"""The planner of any other object with load_state_dict: its state is revived and handed over."""

from __future__ import annotations

from typing import Any

from ckptkit.errors import CkptkitError, MismatchError
from ckptkit.nodes import Node, TensorNode
from ckptkit.report.values import ComponentReport
from ckptkit.torch_bridge.revive import revive
from ckptkit.tree import walk
from ckptkit.types import Coverage
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import NOTHING, Place

KIND = "stateful"


def plan_stateful_component(name: str, live: Any, request: Request) -> Planned:
    """Plan one object whose section bears its name; only the object knows what fits it."""
    document = request.checkpoint.document
    place = Place(name, document.get(name), "" if name in document else NOTHING)
    if place.why:
        return absent(name, KIND, place, request)
    faults = []
    if not callable(getattr(live, "load_state_dict", None)):
        faults.append(
            f"{name}: a {type(live).__name__} has no load_state_dict to give the state to"
        )
    report = ComponentReport(
        name=name,
        kind=KIND,
        status="refused" if faults else "restored",
        source=place.source,
        coverage=coverage_of(place.node),
        faults=tuple(faults),
    )
    return Planned(report, finish=lambda: _give(name, live, place))


def coverage_of(node: Node) -> Coverage:
    """Count the tensors of a node, all of which are taken."""
    tensors = [part for _, part in walk(node) if isinstance(part, TensorNode)]
    nbytes = sum(tensor.nbytes for tensor in tensors)
    return Coverage(len(tensors), len(tensors), nbytes, nbytes)


def _give(name: str, live: Any, place: Place) -> None:
    value = revive(place.node)
    try:
        live.load_state_dict(value)
    except CkptkitError:
        raise
    except Exception as exc:
        raise MismatchError(
            f"{place.source}: {name}", f"its load_state_dict failed ({type(exc).__name__}: {exc})",
            "the state that this class saved",
            "what stands before it among the targets is filled by now; make the objects anew",
        ) from exc  # fmt: skip
