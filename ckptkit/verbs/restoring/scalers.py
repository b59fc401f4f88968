"""The planner of GradScaler: the scale goes on where it was, its settings by policy."""

from __future__ import annotations

from typing import Any

from ckptkit.errors import MismatchError, SettingConflictError
from ckptkit.nodes import MapNode, Node
from ckptkit.report.values import ComponentReport, Line
from ckptkit.torch_bridge.optimizers import plain
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.scalers import SETTINGS, current_settings, give_scaler, is_enabled
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import Place, find_place
from ckptkit.verbs.restoring.settling import settle

KIND = "scaler"
_NEEDED = ("scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker")


def plan_scaler_component(name: str, live: Any, request: Request) -> Planned:
    """Plan one scaler; a Planner.

    Full precision then and half precision now, or the reverse, is allowed: it is said.
    """
    place = find_place(name, KIND, request, is_scaler)
    if place.node is None:
        return absent(name, KIND, place, request)
    stored = {key: plain(revive(value)) for key, value in place.node.items()}
    if not is_enabled(live):
        return _disabled(name, place, stored)
    if not stored:
        return _was_disabled(name, place)
    lacking = [key for key in _NEEDED if key not in stored]
    faults = [f"{name}: the stored scaler lacks {', '.join(lacking)}"] if lacking else []
    saved = {key: stored[key] for key in SETTINGS if key in stored}
    settled = settle(name, saved, current_settings(live), request.settings)
    faults += settled.faults
    report = ComponentReport(
        name=name,
        kind=KIND,
        status="refused" if faults else "restored",
        source=place.source,
        settings=settled.rows,
        faults=tuple(faults),
    )
    state = {**stored, **settled.used}
    error = MismatchError if lacking else SettingConflictError
    return Planned(report, finish=lambda: give_scaler(live, state), error=error)


def is_scaler(node: Node) -> bool:
    """Say whether a node has the form of a scaler's state; a disabled one's is empty."""
    return isinstance(node, MapNode) and ("scale" in node or not len(node))


def _disabled(name: str, place: Place, stored: dict[Any, Any]) -> Planned:
    """Report a live scaler that does nothing, and so takes nothing."""
    line = Line("dropped", name, detail="this scaler is disabled; the stored scale is not used")
    return Planned(
        ComponentReport(
            name=name,
            kind=KIND,
            status="partly" if stored else "restored",
            source=place.source,
            lines=(line,) if stored else (),
            notes=("this scaler is disabled, and has no state",),
        )
    )


def _was_disabled(name: str, place: Place) -> Planned:
    detail = "the stored scaler was disabled and has no state; this one begins with its own scale"
    line = Line("fresh", name, detail=detail)
    return Planned(
        ComponentReport(name=name, kind=KIND, status="fresh", source=place.source, lines=(line,))
    )
