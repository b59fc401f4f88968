"""The planner of learning-rate schedulers: position restored, hyper-parameters by policy."""

from __future__ import annotations

from typing import Any

from ckptkit.errors import MismatchError, SettingConflictError
from ckptkit.report.values import ComponentReport, Line
from ckptkit.torch_bridge.scheduler_fields import OPTIONAL
from ckptkit.torch_bridge.schedulers import give_state, write_rates
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.rates import is_schedule, schedule_of
from ckptkit.verbs.restoring.sections import find_place

KIND = "scheduler"


def plan_scheduler_component(name: str, live: Any, request: Request) -> Planned:
    """Plan one scheduler; a Planner.

    Its rates are written into the optimizer again when it is finished, so that the order of the
    components does not matter.
    """
    place = find_place(name, KIND, request, is_schedule)
    if place.node is None:
        return absent(name, KIND, place, request)
    settled = schedule_of(name, live, place, request)
    lines = list(settled.lines)
    if not settled.faults:
        lines += [
            Line("defaulted", key, detail="not in the checkpoint; keeps its value")
            for key in live.state_dict()
            if key not in settled.state and key not in OPTIONAL
        ]
    report = ComponentReport(
        name=name,
        kind=KIND,
        status="refused" if settled.faults else "restored",
        source=place.source,
        lines=tuple(lines),
        settings=settled.rows,
        faults=settled.faults,
        notes=settled.notes,
    )

    def finish() -> None:
        give_state(live, settled.state)
        if settled.rates is not None:
            write_rates(live.optimizer, settled.rates)

    error = SettingConflictError if settled.faults == settled.conflicts else MismatchError
    return Planned(report, finish=finish, error=error)
