"""Restore a module: names matched, bytes brought into its own memory, the odd parts asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from ckptkit.match.plan import plan_load
from ckptkit.match.values import Entry, LoadPlan, MatchPolicy
from ckptkit.torch_bridge.honesty import honest_roots
from ckptkit.torch_bridge.wanted import describe_module
from ckptkit.verbs.restoring.absent import absent
from ckptkit.verbs.restoring.asked_report import AskedReport, report_asked
from ckptkit.verbs.restoring.asking import Asked, is_below, plan_asked
from ckptkit.verbs.restoring.module_acts import ModuleActs
from ckptkit.verbs.restoring.module_plan import ModulePlan, find_unfilled
from ckptkit.verbs.restoring.module_report import KIND, module_report
from ckptkit.verbs.restoring.nested import flat_targets
from ckptkit.verbs.restoring.planned import Planned, Request
from ckptkit.verbs.restoring.sections import Place
from ckptkit.verbs.restoring.stored_state import StoredState, read_state
from ckptkit.verbs.restoring.weights import find_weights


def plan_module(name: str, live: Any, request: Request) -> Planned:
    """Match a module's state_dict with the stored one, and say what would happen."""
    wanted = describe_module(live)
    entries = tuple(map(Entry._make, wanted.entries))
    request = replace(request, policy=_own_policy(name, request, {one.name for one in entries}))
    weights = find_weights(name, entries, request)
    if weights.node is None:
        return absent(name, KIND, Place(weights.source, None, weights.why), request)
    stored = read_state(weights.source, weights.node)
    plan = plan_load(stored.entries, entries, request.policy)
    known = {entry.name: entry for entry in entries}
    told, asked = AskedReport(), list[Asked]()
    roots = honest_roots(live, wanted.odd, stored.version)
    if roots:
        asked = plan_asked(live, roots, stored, plan)
        told = report_asked(asked, plan, known, request.policy)
        plan = _plan_rest(stored, entries, asked, plan, request)
    made = ModulePlan(
        live=live, wanted=wanted, entries=known, stored=stored, plan=plan, asked=tuple(asked),
        unfilled=find_unfilled(wanted, known, plan, roots),
    )  # fmt: skip
    report, error = module_report(name, made, told, request)
    report = replace(report, notes=(*weights.notes, *report.notes))
    acts = ModuleActs(made, request)
    return Planned(report, acts.prepare, acts.finish, acts.outcome, error)


def _own_policy(name: str, request: Request, own: Collection[str]) -> MatchPolicy:
    """The policy without what speaks of another target, or of its parameters (``optimizer/*``)."""
    allowed = request.policy.allow_missing
    if isinstance(allowed, bool):
        return request.policy
    others = {other for other, _ in flat_targets(request.targets) if other != name}
    below = tuple(f"{other}/" for other in others)
    kept = tuple(glob for glob in allowed if glob not in others - {*own})
    kept = tuple(glob for glob in kept if not glob.startswith(below))
    return replace(request.policy, allow_missing=kept)


def _plan_rest(
    stored: StoredState,
    entries: Sequence[Entry],
    asked: Collection[Asked],
    plan: LoadPlan,
    request: Request,
) -> LoadPlan:
    """Match again what does not load itself, so that faults and coverage speak of it alone."""
    roots = {one.path for one in asked}
    elsewhere = {pair.source for pair in plan.pairs if not is_below(pair.target, roots)}
    taken = {source for one in asked for source in one.sources.values()} - elsewhere
    wanted = [entry for entry in entries if not is_below(entry.name, roots)]
    rest = [entry for entry in stored.entries if entry.name not in taken]
    return plan_load(rest, wanted, request.policy) if wanted or rest else LoadPlan()
