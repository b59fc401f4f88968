"""The state of a scheduler as it will be: position from the checkpoint, settings by policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ckptkit.match.settings import is_same
from ckptkit.nodes import GlobalName, MapNode, Node, Record, SeqNode
from ckptkit.report.values import Line, Setting
from ckptkit.torch_bridge.optimizers import group_settings, plain
from ckptkit.torch_bridge.revive import revive
from ckptkit.torch_bridge.scheduler_fields import DERIVED, PER_GROUP, SETTINGS
from ckptkit.torch_bridge.schedulers import (
    ReplayError,
    ScheduleEndError,
    children,
    class_of,
    replay,
    swa_rates,
)
from ckptkit.tree import walk
from ckptkit.verbs.restoring.optimizer_groups import SettledGroups
from ckptkit.verbs.restoring.planned import Request
from ckptkit.verbs.restoring.scheduler_class import class_faults
from ckptkit.verbs.restoring.sections import Place
from ckptkit.verbs.restoring.settling import choice_of, settle

_BASE_POSITION = ("last_epoch", "_step_count", "_last_lr", "verbose", "_is_initial",
                  "_get_lr_called_within_step", "lr_lambdas")  # fmt: skip

_BY_FUNCTION = ("LambdaLR", "MultiplicativeLR")


class SettledSchedule(NamedTuple):
    """What a scheduler will hold. ``rates``: what it writes into each group; None: nothing.

    ``is_moved``: a setting is not the stored one, so that its rates are others.
    """

    state: dict[str, Any]
    rates: list[dict[str, Any]] | None = None
    rows: tuple[Setting, ...] = ()
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lines: tuple[Line, ...] = ()
    is_moved: bool = False
    conflicts: tuple[str, ...] = ()  # those of the faults that on_conflict="error" made
    saved: Mapping[str, Any] = {}  # the stored state, in the order of the live groups


def settle_schedule(
    name: str, live: Any, place: Place, request: Request, optimizer: SettledGroups | None
) -> SettledSchedule:
    """Decide everything about one scheduler, after the settings of its optimizer."""
    lines: list[Line] = []
    saved = _revived(place.node, "", lines)
    faults = class_faults(name, live, saved)
    if not faults and optimizer is not None:
        saved, faults = _regrouped(name, live, saved, optimizer.origins)
    if faults:
        return SettledSchedule({}, faults=tuple(faults), lines=tuple(lines))
    settler = _Settler(request, optimizer)
    used, moved = settler.settle(name, live, saved)
    return SettledSchedule(
        used,
        rows=tuple(settler.rows),
        faults=tuple(settler.faults),
        lines=tuple(lines),
        is_moved=moved or (optimizer is not None and optimizer.moved),
        conflicts=tuple(settler.faults),
        saved=saved,
    )


def with_rates(
    live: Any, settled: SettledSchedule, optimizer: SettledGroups | None
) -> SettledSchedule:
    """Add the learning rates at the stored position, where they are not the stored ones."""
    current = group_settings(live.optimizer)
    groups = current if optimizer is None else optimizer.groups
    state, saved = settled.state, settled.saved
    if settled.faults and not settled.conflicts:
        return settled
    if not settled.is_moved:
        return settled if optimizer is not None else _as_stored(settled, len(groups))
    try:
        if class_of(live) == "SWALR" and optimizer is not None:
            rates = swa_rates(state, saved, groups, optimizer.saved)
            state = {**state, "_last_lr": [rate["lr"] for rate in rates]}
        else:
            state, rates = replay(live, state, groups)
    except ScheduleEndError as exc:
        fault = f"the schedule that was asked for has no learning rate {exc}"
        return settled._replace(faults=(*settled.faults, fault))
    except ReplayError as exc:
        note = f"{exc}: its rate stays as it is, and the settings count from here on"
        return settled._replace(notes=(*settled.notes, note))
    old = [plain(value) for value in saved.get("_last_lr", ())]
    row = Setting(f"step {_step(live, state)}", "lr", tuple(plain(g["lr"]) for g in current),
                  tuple(old), tuple(plain(rate["lr"]) for rate in rates))  # fmt: skip
    return settled._replace(state=state, rates=rates, rows=(*settled.rows, row))


def _as_stored(settled: SettledSchedule, count: int) -> SettledSchedule:
    """Bring the stored rate into an optimizer that is not restored itself: steps build on it."""
    last = settled.state.get("_last_lr")
    if not isinstance(last, list) or len(last) != count:
        return settled
    note = "its optimizer is not restored: it gets the learning rates of this schedule alone"
    return settled._replace(rates=[{"lr": rate} for rate in last], notes=(*settled.notes, note))


def _step(live: Any, state: dict[str, Any]) -> Any:
    inner = state.get("_schedulers")
    return state.get("last_epoch", _step(live, inner[0]) if inner else "?")


def _revived(node: Node, prefix: str, lines: list[Line]) -> dict[str, Any]:
    """Return the state as live values; an object of a class is left out, and said so."""
    state: dict[str, Any] = {}
    for key, value in node.items() if isinstance(node, MapNode) else ():
        if key == "_schedulers" and isinstance(value, SeqNode):
            state[key] = [
                _revived(own, f"{prefix}{index}/", lines) for index, own in enumerate(value.items)
            ]
        elif any(isinstance(part, (Record, GlobalName)) for _, part in walk(value)):
            detail = "an object of a class: it is never constructed, the live one stays"
            lines.append(Line("dropped", f"{prefix}{key}", detail=detail))
        elif isinstance(key, str):
            state[key] = revive(value)
    return state


def _regrouped(
    name: str, live: Any, state: dict[str, Any], origins: Sequence[int | None]
) -> tuple[dict[str, Any], list[str]]:
    """Bring lists of one value a group into the order of the live groups."""
    own, moved = live.__dict__, dict(state)
    for key in PER_GROUP:
        old, now = state.get(key), own.get(key)
        if not isinstance(old, (list, tuple)) or not isinstance(now, (list, tuple)):
            continue
        short = any(origin is not None and origin >= len(old) for origin in origins)
        if short or len(now) != len(origins):
            told = f"{key} has {len(old)} values in the checkpoint and {len(now)} here"
            return state, [f"{name}: {told}, the optimizer has {len(origins)} groups"]
        moved[key] = [
            now[index] if origin is None else old[origin] for index, origin in enumerate(origins)
        ]
    faults: list[str] = []
    if "_schedulers" in state:
        moved["_schedulers"] = []
        pairs = zip(children(live), state["_schedulers"], strict=True)
        for index, (child, part) in enumerate(pairs):
            inner, found = _regrouped(f"{name}/{index}", child, part, origins)
            moved["_schedulers"].append(inner)
            faults += found
    return moved, faults


class _Settler:
    """Decides the fields of a scheduler and of those inside it, and notes what differs."""

    def __init__(self, request: Request, optimizer: SettledGroups | None) -> None:
        self.policy, self.optimizer = request.settings, optimizer
        self.rows: list[Setting] = []
        self.faults: list[str] = []

    def settle(self, name: str, live: Any, saved: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """Return the state to use, and whether a setting in it is not the stored one."""
        kind, own = class_of(live), live.__dict__
        if not kind:
            _show_differences(name, own, saved, self.rows)
            return dict(saved), False
        used, moved = self._fields(name, kind, own, saved)
        start = _starts(kind, saved, self.optimizer)
        if start is not None and not is_same(_told(start), _told(saved["base_lrs"])):
            asked, told = _told(own["base_lrs"]), _told(saved["base_lrs"])
            self.rows.append(Setting(name, "base_lrs", asked, told, _told(start)))
            used["base_lrs"], moved = list(start), True
        if kind in _BY_FUNCTION:  # its functions are settings, and never stored
            moved = moved or choice_of("lr_lambdas", self.policy) == "current"
        if "_schedulers" in saved:
            pairs = zip(children(live), saved["_schedulers"], strict=True)
            inner = [self.settle(f"{name}/{i}", *pair) for i, pair in enumerate(pairs)]
            used["_schedulers"] = [part for part, _ in inner]
            moved = moved or any(part_moved for _, part_moved in inner)
        return used, moved

    def _fields(
        self, name: str, kind: str, own: dict[str, Any], saved: dict[str, Any]
    ) -> tuple[dict[str, Any], bool]:
        """Decide the hyper-parameters of one class by policy."""
        fields = list(SETTINGS[kind])
        if _starts(kind, saved, self.optimizer) is None:
            fields.append("base_lrs")
        current = {key: _told(own[key]) for key in fields if key in own and key in saved}
        stored = {key: _told(saved[key]) for key in current}
        settled = settle(name, stored, current, self.policy, DERIVED)
        self.rows += settled.rows
        self.faults += settled.faults
        live = [key for key in current if not is_same(settled.used[key], stored[key])]
        return {**saved, **{key: own[key] for key in live}}, bool(live)


def _starts(kind: str, saved: dict[str, Any], optimizer: SettledGroups | None) -> Any:
    """Return the rates that the schedule starts from, where the optimizer has decided them."""
    if optimizer is None or "base_lrs" not in saved or kind in ("", "CyclicLR"):
        return None
    rates = [group.get("initial_lr") for group in optimizer.groups]
    return None if any(rate is None for rate in rates) else rates


def _told(value: Any) -> Any:
    """Return a value that can be compared and printed; milestones in order."""
    if callable(getattr(value, "elements", None)):
        return tuple(sorted(value.elements()))
    return plain(value)


def _show_differences(
    name: str, own: dict[str, Any], saved: dict[str, Any], rows: list[Setting]
) -> None:
    """Show every plain field of a class that is not torch's: the stored value is used."""
    for key, value in saved.items():
        plainly = isinstance(value, (bool, int, float, str, list, tuple))
        if key in own and key not in _BASE_POSITION and plainly:
            asked, told = _told(own[key]), _told(value)
            if not is_same(told, asked):
                rows.append(Setting(name, key, asked, told, told))
